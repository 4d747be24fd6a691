// peer: flume
import com.sun.management.OperatingSystemMXBean;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.flume.Event;
import org.apache.flume.api.RpcClient;
import org.apache.flume.api.RpcClientFactory;
import org.apache.flume.event.EventBuilder;

/**
 * Flume's own RPC client, to be measured: {@code send WRITERS BATCH SIZE SECONDS HOST:PORT} in lines of stdin, answered
 * with {@code events=N seconds=S cpu=S}. Clients stay open from one line to the next, one for each writer.
 */
public final class ClientWorker {
    private static final Map<String, RpcClient> CLIENTS = new HashMap<>();

    public static void main(String[] args) throws Exception {
        OperatingSystemMXBean os = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        System.out.println("SERVING");
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] w = line.split(" ");
            int writers = Integer.parseInt(w[1]);
            int batch = Integer.parseInt(w[2]);
            int size = Integer.parseInt(w[3]);
            long nanos = (long) (Double.parseDouble(w[4]) * 1e9);
            AtomicLong sent = new AtomicLong();
            List<Thread> all = new ArrayList<>();
            List<Throwable> failures = new ArrayList<>();
            for (int i = 0; i < writers; i++) {
                client(w[5], i, batch);
            }
            long cpu = os.getProcessCpuTime();
            long begun = System.nanoTime();
            for (int i = 0; i < writers; i++) {
                RpcClient c = client(w[5], i, batch);
                Thread t = new Thread(() -> {
                    try {
                        List<Event> events = events(batch, size);
                        while (System.nanoTime() - begun < nanos) {
                            c.appendBatch(events);
                            sent.addAndGet(batch);
                        }
                    } catch (Exception e) {
                        synchronized (failures) {
                            failures.add(e);
                        }
                    }
                });
                all.add(t);
                t.start();
            }
            for (Thread t : all) {
                t.join();
            }
            if (!failures.isEmpty()) {
                throw new IllegalStateException(failures.get(0));
            }
            System.out.printf("events=%d seconds=%f cpu=%f%n", sent.get(), (System.nanoTime() - begun) / 1e9,
                    (os.getProcessCpuTime() - cpu) / 1e9);
        }
        System.exit(0);
    }

    private static RpcClient client(String address, int writer, int batch) {
        return CLIENTS.computeIfAbsent(address + " " + writer + " " + batch, k -> {
            Properties p = new Properties();
            p.setProperty("hosts", "h1");
            p.setProperty("hosts.h1", address);
            p.setProperty("batch-size", Integer.toString(batch));
            return RpcClientFactory.getInstance(p);
        });
    }

    private static List<Event> events(int batch, int size) {
        List<Event> events = new ArrayList<>();
        for (int i = 0; i < batch; i++) {
            Map<String, String> headers = new HashMap<>();
            headers.put("host", "web-17.example.com");
            headers.put("timestamp", "1700000000000");
            events.add(EventBuilder.withBody(new byte[size], headers));
        }
        return events;
    }
}
