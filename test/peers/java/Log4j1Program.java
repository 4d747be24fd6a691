// peer: log4j1
import java.util.List;
import org.apache.log4j.Logger;

/** A program that logs with Log4j 1: so many orders, in three levels, then two in one message. It knows nothing of Flume. */
public final class Log4j1Program {
    private static final Logger LOG = Logger.getLogger("com.example.Shop");

    public static void main(String[] args) {
        int count = Integer.parseInt(args[0]);
        for (int i = 0; i < count; i++) {
            String text = String.format("order %08d żółw", i);
            switch (i % 3) {
                case 0 -> LOG.info(text);
                case 1 -> LOG.warn(text);
                default -> LOG.error(text);
            }
        }
        LOG.info(List.of("first of two", "second of two"));
        org.apache.log4j.LogManager.shutdown();
    }
}
