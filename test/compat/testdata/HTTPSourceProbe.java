import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.flume.ChannelFullException;
import org.apache.flume.Context;
import org.apache.flume.Event;
import org.apache.flume.channel.ChannelProcessor;
import org.apache.flume.channel.ReplicatingChannelSelector;
import org.apache.flume.conf.Configurables;
import org.apache.flume.source.http.HTTPSource;

/**
 * Runs Flume's HTTP source, one for each argument "name key=value,key=value", and prints each batch before the source
 * answers: a line "batch NAME COUNT", then for each event a line of its body and its headers in hexadecimal, sorted by
 * name, null as "~". An event with the body FULL fails as a full channel does, with BUG as a broken one. Ends with stdin.
 */
public final class HTTPSourceProbe {
    private static final PrintStream OUT = System.out;

    public static void main(String[] args) throws Exception {
        for (String arg : args) {
            String[] parts = arg.split(" ", 2);
            String name = parts[0];
            Context context = new Context();
            for (String setting : parts[1].split(",")) {
                int eq = setting.indexOf('=');
                context.put(setting.substring(0, eq), setting.substring(eq + 1).replace(';', ','));
            }
            HTTPSource source = new HTTPSource();
            source.setName(name);
            Configurables.configure(source, context);
            ReplicatingChannelSelector selector = new ReplicatingChannelSelector();
            selector.setChannels(Collections.emptyList());
            source.setChannelProcessor(new ChannelProcessor(selector) {
                @Override
                public void processEventBatch(List<Event> events) {
                    print(name, events);
                }
            });
            source.start();
        }
        say("ready\n");
        while (System.in.read() >= 0) {
        }
        System.exit(0);
    }

    private static void print(String name, List<Event> events) {
        StringBuilder out = new StringBuilder("batch " + name + " " + events.size() + "\n");
        for (Event e : events) {
            String body = new String(e.getBody(), StandardCharsets.ISO_8859_1);
            if (body.equals("FULL")) {
                throw new ChannelFullException("full");
            }
            if (body.equals("BUG")) {
                throw new IllegalStateException("bug");
            }
            out.append("b").append(hex(e.getBody()));
            Map<String, String> sorted = new TreeMap<>();
            e.getHeaders().forEach((k, v) -> sorted.put(hex(k.getBytes(StandardCharsets.UTF_8)),
                    v == null ? "~" : hex(v.getBytes(StandardCharsets.UTF_8))));
            sorted.forEach((k, v) -> out.append(" ").append(k).append("=").append(v));
            out.append("\n");
        }
        say(out.toString());
    }

    private static synchronized void say(String text) {
        OUT.print(text);
        OUT.flush();
    }

    private static String hex(byte[] bytes) {
        StringBuilder out = new StringBuilder();
        for (byte b : bytes) {
            out.append(Character.forDigit(b >> 4 & 15, 16)).append(Character.forDigit(b & 15, 16));
        }
        return out.toString();
    }
}
