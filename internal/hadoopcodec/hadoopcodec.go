package hadoopcodec

import (
	"fmt"
	"strconv"
	"strings"
)

// A Codec is one of Hadoop's ways to compress.
type Codec uint8

// The codecs. Default and Deflate write the same bytes under different class names.
const (
	None Codec = iota
	Default
	Deflate
	Gzip
	Bzip2
	Snappy
	LZ4
	Zstandard
)

const (
	packageName = "org.apache.hadoop.io.compress."
	lzoPackage  = "com.hadoop.compression.lzo."
)

// The simple names of the classes, in the order of the constants.
var (
	simpleNames = [...]string{"", "DefaultCodec", "DeflateCodec", "GzipCodec", "BZip2Codec", "SnappyCodec", "Lz4Codec", "ZStandardCodec"}
	extensions  = [...]string{"", ".deflate", ".deflate", ".gz", ".bz2", ".snappy", ".lz4", ".zst"}
)

// Names are what a user may set, in Flume's words.
const Names = "none, default, deflate, gzip, bzip2, snappy, lz4, zstandard"

// Find knows a codec as Flume does: by its class name as it is written, and in any case by its class name without the
// package, which may also lack the word Codec. Beyond that it knows zstd. Of an empty name and of none it says None.
func Find(name string) (Codec, error) {
	if name == "" || strings.EqualFold(name, "none") {
		return None, nil
	}
	if strings.EqualFold(name, "zstd") {
		return Zstandard, nil
	}
	for c := Default; c <= Zstandard; c++ {
		if matches(name, packageName, simpleNames[c]) {
			return c, nil
		}
	}
	for _, lzo := range []string{"LzoCodec", "LzopCodec"} {
		if matches(name, lzoPackage, lzo) {
			return None, fmt.Errorf("the codec %q is none of ours, as LZO is under the GPL; Hadoop reads lz4 and snappy as fast, and zstandard makes smaller files", name)
		}
	}
	return None, fmt.Errorf("%q is not a codec; there are %s, and Hadoop's class names of them", name, Names)
}

func matches(name, in, simple string) bool {
	return name == in+simple || strings.EqualFold(name, simple) || strings.EqualFold(name, strings.TrimSuffix(simple, "Codec"))
}

// Class is the full name of the codec's Java class, which a SequenceFile's header has. Of None it is empty.
func (c Codec) Class() string {
	if c == None {
		return ""
	}
	return packageName + simpleNames[c]
}

// Extension is what the name of a file ends with, its dot included.
func (c Codec) Extension() string { return extensions[c] }

// String is the name that a user would set.
func (c Codec) String() string {
	if c == None {
		return "none"
	}
	return strings.ToLower(strings.TrimSuffix(simpleNames[c], "Codec"))
}

// Mid reports whether Flush leaves a member open whose bytes so far can be read. Of other codecs it ends the member.
func (c Codec) Mid() bool { return c == Default || c == Deflate || c == Gzip || c == Zstandard }

// Options are what Hadoop's own configuration says of a codec. [Codec.Options] makes them.
type Options struct {
	Level  int // of Default, Deflate, Gzip, and of Zstandard in its own numbers
	Buffer int // of Snappy and LZ4: the buffer that its blocks have to fit in when they are decompressed
}

const defaultBuffer = 256 << 10

// Options reads what the Hadoop configuration says of this codec; get returns its value of a key, or otherwise.
func (c Codec) Options(get func(key, otherwise string) string) (o Options, err error) {
	number := func(key string, otherwise, least, most int) (int, error) {
		text := get(key, strconv.Itoa(otherwise))
		n, err := strconv.Atoi(text)
		if err != nil || n < least || n > most {
			return 0, fmt.Errorf("%s of the Hadoop configuration: %q is not a number from %d to %d", key, text, least, most)
		}
		return n, nil
	}
	switch c {
	case Default, Deflate, Gzip:
		o.Level, err = zlibLevel(get("zlib.compress.level", "DEFAULT_COMPRESSION"))
	case Zstandard:
		// Its default is 0 in Hadoop 2.9 to 3.0, where it stands for 3.
		if o.Level, err = number("io.compression.codec.zstd.level", 3, -131072, 22); o.Level == 0 {
			o.Level = 3
		}
	case Snappy:
		o.Buffer, err = number("io.compression.codec.snappy.buffersize", defaultBuffer, 4<<10, 64<<20)
	case LZ4:
		o.Buffer, err = number("io.compression.codec.lz4.buffersize", defaultBuffer, 4<<10, 64<<20)
	case None, Bzip2:
	}
	return o, err
}

// zlibLevel is the level here that makes about what zlib's makes. Our 6 and below leave blocks under 128 bytes as they
// are, as small batches are, and are 10 % larger than zlib's 6, the default; 7 is 4 % larger, at twice zlib's speed.
func zlibLevel(name string) (int, error) {
	if name == "DEFAULT_COMPRESSION" {
		name = "SIX"
	}
	for level, n := range []string{"NO_COMPRESSION", "BEST_SPEED", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "BEST_COMPRESSION"} {
		if name == n && level == 6 {
			return 7, nil
		}
		if name == n {
			return level, nil
		}
	}
	return 0, fmt.Errorf("zlib.compress.level of the Hadoop configuration: %q is not DEFAULT_COMPRESSION, NO_COMPRESSION, BEST_SPEED, TWO to EIGHT or BEST_COMPRESSION", name)
}

// Defaults are the options of a Hadoop configuration that says nothing.
func (c Codec) Defaults() Options {
	o, err := c.Options(func(_, otherwise string) string { return otherwise })
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return o
}
