// peer: kafka
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.LongSerializer;

/**
 * Numbered events into Kafka, and proof that they are there.
 *
 * <p>{@code produce}: bodies are {@code RUN 00000042 xxxx...}; {@code verify}: reads the whole topic and counts
 * what is missing, doubled, foreign or out of order.
 */
public final class KafkaLoad {
    private static final Map<String, String> OPTS = new HashMap<>();

    public static void main(String[] args) throws Exception {
        String mode = null;
        for (String a : args) {
            if (!a.startsWith("--")) {
                mode = a;
                continue;
            }
            int eq = a.indexOf('=');
            OPTS.put(eq < 0 ? a.substring(2) : a.substring(2, eq), eq < 0 ? "true" : a.substring(eq + 1));
        }
        if ("produce".equals(mode)) {
            System.exit(produce());
        } else if ("verify".equals(mode)) {
            System.exit(verify());
        }
        System.err.println("usage: KafkaLoad produce --topic=T --count=N [--from=0] [--size=100] [--run=run]"
                + " [--partition=P] [--key | --long-key] [--binary-header=NAME] [--rate=EVENTS_PER_S] [--acks=all] [--linger=5]"
                + " [--flume-format] [--header.K=V] [--set.CLIENT_PROPERTY=V]\n"
                + "       KafkaLoad verify --topic=T --count=N [--from=0] [--run=run] [--timeout=30] [--flume-format]"
                + " [--header.K=V] [--duplicates-ok] [--order] [--committed] [--quiet-ms=1500] [--set.CLIENT_PROPERTY=V]\n"
                + "exit: 0 all well, 1 something missing, doubled or foreign, 2 usage or failure");
        System.exit(2);
    }

    private static String opt(String name, String otherwise) {
        String v = OPTS.getOrDefault(name, otherwise);
        if (v == null) {
            System.err.println("--" + name + " is missing");
            System.exit(2);
        }
        return v;
    }

    private static int num(String name, String otherwise) {
        return Integer.parseInt(opt(name, otherwise));
    }

    private static Map<String, String> headers() {
        Map<String, String> h = new LinkedHashMap<>();
        OPTS.forEach((k, v) -> {
            if (k.startsWith("header.")) {
                h.put(k.substring(7), v);
            }
        });
        return h;
    }

    private static void set(Properties p) {
        OPTS.forEach((k, v) -> {
            if (k.startsWith("set.")) {
                p.put(k.substring(4), v);
            }
        });
    }

    /** A user's numeric id: positive and negative, its bytes seldom text. */
    private static long longKey(int i) {
        return i * 0x9E3779B97F4A7C15L;
    }

    /** Bytes that are no text: every value comes up, no UTF-8 among them. */
    private static byte[] binary(int i) {
        return new byte[] {(byte) 0xff, 0, (byte) 0xc0, (byte) i, (byte) (i >> 8), (byte) 0x80, '\n', (byte) ~i};
    }

    // --- produce ---

    private static int produce() throws Exception {
        String topic = opt("topic", null);
        String run = opt("run", "run");
        int count = num("count", null);
        int from = num("from", "0");
        int size = num("size", "100");
        int rate = num("rate", "0");
        Integer partition = OPTS.containsKey("partition") ? num("partition", null) : null;
        boolean wrap = OPTS.containsKey("flume-format");
        Map<String, String> headers = headers();

        Properties p = new Properties();
        p.put("bootstrap.servers", opt("bootstrap", null));
        p.put("acks", opt("acks", "all"));
        p.put("linger.ms", opt("linger", "5"));
        p.put("batch.size", "131072");
        set(p);
        AtomicLong acked = new AtomicLong();
        AtomicReference<Exception> failed = new AtomicReference<>();
        long start = System.nanoTime();
        LongSerializer longs = new LongSerializer();
        try (KafkaProducer<byte[], byte[]> producer =
                new KafkaProducer<>(p, new ByteArraySerializer(), new ByteArraySerializer())) {
            for (int i = from; i < from + count && failed.get() == null; i++) {
                byte[] body = body(run, i, size);
                byte[] key = null;
                if (OPTS.containsKey("key")) {
                    key = Integer.toString(i).getBytes(StandardCharsets.UTF_8);
                } else if (OPTS.containsKey("long-key")) {
                    key = longs.serialize(topic, longKey(i));
                }
                ProducerRecord<byte[], byte[]> r =
                        new ProducerRecord<>(topic, partition, key, wrap ? toFlume(headers, body) : body);
                if (OPTS.containsKey("binary-header")) {
                    r.headers().add(opt("binary-header", null), binary(i));
                }
                if (!wrap) {
                    headers.forEach((k, v) -> r.headers().add(k, v.getBytes(StandardCharsets.UTF_8)));
                }
                producer.send(r, (meta, e) -> {
                    if (e == null) {
                        acked.incrementAndGet();
                    } else {
                        failed.compareAndSet(null, e);
                    }
                });
                if (rate > 0) {
                    long due = start + (long) ((i - from + 1) * 1e9 / rate);
                    long left = due - System.nanoTime();
                    if (left > 0) {
                        Thread.sleep(left / 1_000_000, (int) (left % 1_000_000));
                    }
                }
            }
        }
        double s = (System.nanoTime() - start) / 1e9;
        System.out.printf("produced=%d acked=%d seconds=%.2f events_per_s=%.0f%n", count, acked.get(), s, acked.get() / s);
        if (failed.get() != null) {
            System.err.println("failed: " + failed.get());
            return 2;
        }
        return acked.get() == count ? 0 : 1;
    }

    private static byte[] body(String run, int i, int size) {
        StringBuilder b = new StringBuilder(String.format("%s %08d", run, i));
        if (b.length() < size) {
            b.append(' ');
        }
        while (b.length() < size) {
            b.append('x');
        }
        return b.toString().getBytes(StandardCharsets.UTF_8);
    }

    // --- verify ---

    private static int verify() throws Exception {
        String topic = opt("topic", null);
        String run = opt("run", "run");
        int count = num("count", null);
        int from = num("from", "0");
        int quietMs = num("quiet-ms", "1500");
        long deadline = System.currentTimeMillis() + 1000L * num("timeout", "30");
        boolean wrapped = OPTS.containsKey("flume-format");
        Map<String, String> want = headers();

        Properties p = new Properties();
        p.put("bootstrap.servers", opt("bootstrap", null));
        p.put("enable.auto.commit", "false");
        p.put("auto.offset.reset", "earliest");
        p.put("isolation.level", OPTS.containsKey("committed") ? "read_committed" : "read_uncommitted");
        set(p);
        BitSet seen = new BitSet(count);
        long received = 0;
        long duplicates = 0;
        long foreign = 0;
        long badHeaders = 0;
        long disordered = 0;
        List<String> samples = new ArrayList<>();
        Map<Integer, Integer> last = new HashMap<>();
        try (KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> parts = new ArrayList<>();
            while (parts.isEmpty() && System.currentTimeMillis() < deadline) {
                consumer.partitionsFor(topic).forEach(i -> parts.add(new TopicPartition(topic, i.partition())));
            }
            consumer.assign(parts);
            consumer.seekToBeginning(parts);
            long lastNews = System.currentTimeMillis();
            while (true) {
                boolean any = false;
                for (ConsumerRecord<byte[], byte[]> r : consumer.poll(Duration.ofMillis(200))) {
                    any = true;
                    received++;
                    Map<String, String> headers = new HashMap<>();
                    byte[] body = r.value();
                    try {
                        if (wrapped) {
                            body = fromFlume(r.value(), headers);
                        } else {
                            r.headers().forEach(h -> headers.put(h.key(), new String(h.value(), StandardCharsets.UTF_8)));
                        }
                    } catch (RuntimeException e) {
                        body = null;
                    }
                    int n = number(body, run);
                    if (n < from || n >= from + count) {
                        foreign++;
                        if (samples.size() < 5) {
                            samples.add("foreign: " + (body == null ? "undecodable" : text(body)));
                        }
                        continue;
                    }
                    if (!headers.entrySet().containsAll(want.entrySet())) {
                        badHeaders++;
                        if (samples.size() < 5) {
                            samples.add("headers of " + n + ": " + headers);
                        }
                    }
                    if (seen.get(n - from)) {
                        duplicates++;
                    } else {
                        seen.set(n - from);
                    }
                    Integer before = last.put(r.partition(), n);
                    if (before != null && before > n) {
                        disordered++;
                    }
                }
                long now = System.currentTimeMillis();
                if (any) {
                    lastNews = now;
                } else if (now > deadline || (seen.cardinality() == count && now - lastNews >= quietMs)) {
                    break;
                }
            }
        }
        int missing = count - seen.cardinality();
        System.out.printf("received=%d distinct=%d missing=%d duplicates=%d foreign=%d bad_headers=%d out_of_order=%d%n",
                received, seen.cardinality(), missing, duplicates, foreign, badHeaders, disordered);
        for (int i = seen.nextClearBit(0), shown = 0; i < count && shown < 10; i = seen.nextClearBit(i + 1), shown++) {
            System.out.println("missing: " + (i + from));
        }
        samples.forEach(System.out::println);
        boolean ok = missing == 0 && foreign == 0 && badHeaders == 0
                && (duplicates == 0 || OPTS.containsKey("duplicates-ok"))
                && (disordered == 0 || !OPTS.containsKey("order"));
        return ok ? 0 : 1;
    }

    private static String text(byte[] b) {
        String s = new String(b, StandardCharsets.UTF_8);
        return s.length() > 80 ? s.substring(0, 80) + "..." : s;
    }

    /** The number in a body, or -1 if it is not one of this run's. */
    private static int number(byte[] body, String run) {
        if (body == null) {
            return -1;
        }
        String[] w = text(body).split("[ \r\n]", 3);
        try {
            return w.length > 1 && w[0].equals(run) ? Integer.parseInt(w[1]) : -1;
        } catch (NumberFormatException e) {
            return -1;
        }
    }

    // --- Flume's event datum: a map of strings, then bytes, in Avro's binary encoding ---

    private static byte[] toFlume(Map<String, String> headers, byte[] body) {
        java.io.ByteArrayOutputStream out = new java.io.ByteArrayOutputStream();
        if (!headers.isEmpty()) {
            putLong(out, headers.size());
            headers.forEach((k, v) -> {
                putBytes(out, k.getBytes(StandardCharsets.UTF_8));
                putBytes(out, v.getBytes(StandardCharsets.UTF_8));
            });
        }
        putLong(out, 0);
        putBytes(out, body);
        return out.toByteArray();
    }

    private static void putBytes(java.io.ByteArrayOutputStream out, byte[] b) {
        putLong(out, b.length);
        out.write(b, 0, b.length);
    }

    private static void putLong(java.io.ByteArrayOutputStream out, long v) {
        long z = (v << 1) ^ (v >> 63);
        while ((z & ~0x7fL) != 0) {
            out.write((int) (z & 0x7f | 0x80));
            z >>>= 7;
        }
        out.write((int) z);
    }

    private static byte[] fromFlume(byte[] datum, Map<String, String> headers) {
        ByteBuffer in = ByteBuffer.wrap(datum);
        for (long n = getLong(in); n != 0; n = getLong(in)) {
            if (n < 0) {
                n = -n;
                getLong(in);
            }
            for (; n > 0; n--) {
                String k = new String(getBytes(in), StandardCharsets.UTF_8);
                headers.put(k, new String(getBytes(in), StandardCharsets.UTF_8));
            }
        }
        return getBytes(in);
    }

    private static byte[] getBytes(ByteBuffer in) {
        long n = getLong(in);
        if (n < 0 || n > in.remaining()) {
            throw new IllegalArgumentException("length " + n);
        }
        byte[] b = new byte[(int) n];
        in.get(b);
        return b;
    }

    private static long getLong(ByteBuffer in) {
        long z = 0;
        for (int shift = 0; ; shift += 7) {
            byte b = in.get();
            z |= (long) (b & 0x7f) << shift;
            if (b >= 0) {
                return (z >>> 1) ^ -(z & 1);
            }
        }
    }

    private KafkaLoad() {}
}
