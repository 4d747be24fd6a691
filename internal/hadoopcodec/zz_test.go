package hadoopcodec
import (our "github.com/sluice-io/sluice/internal/bzip2";"testing";"bytes";"fmt";"math/rand/v2";"io";stdf "compress/flate";"github.com/klauspost/compress/flate";"github.com/dsnet/compress/bzip2";"runtime";"time";"os";"os/exec")
func logText(n int) []byte {
	r := rand.New(rand.NewPCG(1,2)); var b bytes.Buffer
	words := []string{"GET","POST","/index.html","/api/v1/users","/static/app.js","Mozilla/5.0","(X11; Linux x86_64)","200","404","302","error","connection","timeout","user","session"}
	for b.Len() < n { fmt.Fprintf(&b, "2026-11-21T21:%02d:%02d.%03dZ 10.%d.%d.%d ", r.IntN(60), r.IntN(60), r.IntN(1000), r.IntN(4), r.IntN(256), r.IntN(256)); for range 5+r.IntN(12) { b.WriteString(words[r.IntN(len(words))]); b.WriteByte(' ')}; fmt.Fprintf(&b,"id=%x\n", r.Uint64()) }
	return b.Bytes()[:n]
}
func TestZZ(t *testing.T) {
	for _, n := range []int{500, 4000, 40000, 400000, 4000000} {
		p := logText(n)
		mk := map[string]func(io.Writer) interface{io.WriteCloser}{}
		for _, l := range []int{1,4,5,6,7,9} { mk[fmt.Sprint("kp",l)] = func(w io.Writer) interface{io.WriteCloser} { f,_ := flate.NewWriter(w,l); return f} }
		mk["std6"] = func(w io.Writer) interface{io.WriteCloser} { f,_ := stdf.NewWriter(w,6); return f}
		mk["bz"] = func(w io.Writer) interface{io.WriteCloser} { f,_ := bzip2.NewWriter(w,&bzip2.WriterConfig{Level:9}); return f}
		mk["our"] = func(w io.Writer) interface{io.WriteCloser} { return our.NewWriter(w)}
		for _, name := range []string{"kp7","bz","our"} {
			var out bytes.Buffer
			var a, b runtime.MemStats; runtime.GC(); runtime.ReadMemStats(&a)
			w := mk[name](&out); w.Write(p); w.Close()
			runtime.ReadMemStats(&b)
			
			
			t0 := time.Now(); k := 0
			for time.Since(t0) < 150*time.Millisecond { out.Reset(); if r, ok := w.(*flate.Writer); ok { r.Reset(&out) } else if r, ok := w.(*stdf.Writer); ok { r.Reset(&out) } else if r, ok := w.(*our.Writer); ok { r.Reset(&out) } else if r, ok := w.(*bzip2.Writer); ok { r.Reset(&out) }; w.Write(p); w.Close(); k++ }
			d := time.Since(t0)
			t.Logf("%8d %s: %d (%.3f) %.1f MB/s alloc %d", n, name, out.Len(), float64(out.Len())/float64(n), float64(k)*float64(n)/1e6/d.Seconds(), b.TotalAlloc-a.TotalAlloc)
		}
		os.WriteFile("/tmp/hadoopfile/in", p, 0o644)
		for _, c := range []string{"bzip2 -9 -c", "gzip -6 -c"} { t0 := time.Now(); o, err := exec.Command("sh","-c", c+" < /tmp/hadoopfile/in").Output(); t.Log(n, c, len(o), err, time.Since(t0)) }
	}
}
