import java.io.*;
import java.net.*;
import java.nio.file.*;
import java.security.*;
import java.util.*;
import javax.tools.ToolProvider;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.io.*;
import org.apache.hadoop.io.compress.*;

/**
 * Reads the files that stdin names, a line each, as Hadoop does. A line of the answer is the name, the records or -1 of a
 * file that is no SequenceFile, the SHA-256 of the content, and after an error its text. Of records the content is key, length and
 * bytes. The argument is the source of a codec. A line that begins with "append " lets Hadoop append three records first.
 */
public class Read {
    static final String ZSTD = "org.apache.hadoop.io.compress.ZStandardCodec";

    public static void main(String[] args) throws Exception {
        Configuration conf = new Configuration();
        conf.set("fs.defaultFS", "file:///");
        conf.set("io.compression.codecs", ZSTD);
        conf.set("fs.file.impl", "org.apache.hadoop.fs.RawLocalFileSystem");
        // Hadoop's class for Zstandard needs its native library; ours, of the same name, does not.
        Path classes = Files.createTempDirectory("read-java");
        int status = ToolProvider.getSystemJavaCompiler().run(null, System.err, System.err, "-nowarn", "-proc:none",
                "-cp", System.getProperty("java.class.path"), "-d", classes.toString(), args[0]);
        if (status != 0) System.exit(status);
        conf.setClassLoader(new URLClassLoader(new URL[] {classes.toUri().toURL()}, Read.class.getClassLoader()) {
            @Override protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
                if (!name.startsWith(ZSTD)) return super.loadClass(name, resolve);
                Class<?> c = findLoadedClass(name);
                return c != null ? c : findClass(name);
            }
        });
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null; ) {
            String name = line.replaceFirst("^append ", "");
            MessageDigest sum = MessageDigest.getInstance("SHA-256");
            long records = -1;
            String error = "";
            try {
                if (line.startsWith("append ")) append(conf, new org.apache.hadoop.fs.Path(name));
                byte[] head = new byte[3];
                try (InputStream f = Files.newInputStream(Paths.get(name))) { f.readNBytes(head, 0, 3); }
                if (new String(head).equals("SEQ")) {
                    records = 0;
                    try (SequenceFile.Reader r = new SequenceFile.Reader(conf, SequenceFile.Reader.file(new org.apache.hadoop.fs.Path(name)))) {
                        LongWritable key = new LongWritable();
                        Writable value = (Writable) r.getValueClass().getDeclaredConstructor().newInstance();
                        while (r.next(key, value)) {
                            BinaryComparable b = (BinaryComparable) value;
                            ByteArrayOutputStream out = new ByteArrayOutputStream();
                            DataOutputStream data = new DataOutputStream(out);
                            data.writeLong(key.get());
                            data.writeInt(b.getLength());
                            data.write(b.getBytes(), 0, b.getLength());
                            sum.update(out.toByteArray());
                            records++;
                        }
                    }
                } else {
                    CompressionCodec codec = new CompressionCodecFactory(conf).getCodec(new org.apache.hadoop.fs.Path(name));
                    try (InputStream f = codec.createInputStream(new BufferedInputStream(Files.newInputStream(Paths.get(name))))) {
                        byte[] buf = new byte[65536];
                        for (int n; (n = f.read(buf)) > 0; ) sum.update(buf, 0, n);
                    }
                }
            } catch (Throwable t) {
                error = " " + t.toString().replace('\n', ' ');
            }
            System.out.println(name + " " + records + " " + HexFormat.of().formatHex(sum.digest()) + error);
        }
    }

    static void append(Configuration conf, org.apache.hadoop.fs.Path file) throws Exception {
        Class<?> value;
        SequenceFile.CompressionType type;
        CompressionCodec codec;
        try (SequenceFile.Reader r = new SequenceFile.Reader(conf, SequenceFile.Reader.file(file))) {
            value = r.getValueClass();
            type = r.getCompressionType();
            codec = r.getCompressionCodec();
        }
        try (SequenceFile.Writer w = SequenceFile.createWriter(conf, SequenceFile.Writer.file(file), SequenceFile.Writer.appendIfExists(true),
                SequenceFile.Writer.keyClass(LongWritable.class), SequenceFile.Writer.valueClass(value), SequenceFile.Writer.compression(type, codec))) {
            for (int i = 0; i < 3; i++) {
                byte[] body = ("appended " + i).getBytes();
                Writable v = value == Text.class ? new Text(body) : new BytesWritable(body);
                w.append(new LongWritable(i), v);
                w.sync();
            }
        }
    }
}
