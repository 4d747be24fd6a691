import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import javax.management.MBeanServer;
import javax.management.ObjectName;
import org.apache.flume.Channel;
import org.apache.flume.Context;
import org.apache.flume.Transaction;
import org.apache.flume.channel.MemoryChannel;
import org.apache.flume.conf.Configurables;
import org.apache.flume.event.EventBuilder;
import org.apache.flume.sink.http.HttpSink;

/**
 * Runs Flume's HTTP sink for each line "key=value key=value" of stdin with one event, and prints what process returned,
 * how many events the channel has then, and the counters: "READY 0 1 1 0" (attempts, successes, failures).
 */
public final class HTTPSinkProbe {
    public static void main(String[] args) throws Exception {
        MBeanServer beans = ManagementFactory.getPlatformMBeanServer();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        int n = 0;
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            Context own = new Context();
            for (String setting : line.split(" ")) {
                int eq = setting.indexOf('=');
                own.put(setting.substring(0, eq), setting.substring(eq + 1));
            }
            Channel channel = new MemoryChannel();
            channel.setName("c" + n);
            Context settings = new Context();
            settings.put("keep-alive", "0");
            Configurables.configure(channel, settings);
            channel.start();
            Transaction put = channel.getTransaction();
            put.begin();
            channel.put(EventBuilder.withBody("event", StandardCharsets.UTF_8));
            put.commit();
            put.close();
            HttpSink sink = new HttpSink();
            String name = "k" + n++;
            sink.setName(name);
            Configurables.configure(sink, own);
            sink.setChannel(channel);
            sink.start();
            String result;
            try {
                result = sink.process().toString();
            } catch (Exception e) {
                result = e.getClass().getSimpleName();
            }
            ObjectName bean = new ObjectName("org.apache.flume.sink:type=" + name);
            Object attempts = beans.getAttribute(bean, "EventDrainAttemptCount");
            Object successes = beans.getAttribute(bean, "EventDrainSuccessCount");
            Object failures = beans.getAttribute(bean, "EventWriteFail");
            Transaction take = channel.getTransaction();
            take.begin();
            int left = channel.take() == null ? 0 : 1;
            take.rollback();
            take.close();
            sink.stop();
            System.out.println("case " + result + " " + left + " " + attempts + " " + successes + " " + failures);
        }
    }
}
