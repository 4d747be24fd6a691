// peer: log4j2
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;
import org.apache.logging.log4j.ThreadContext;

/** A program that logs with Log4j 2: so many orders, in three levels. It knows nothing of Flume. */
public final class Log4j2Program {
    private static final Logger LOG = LogManager.getLogger("com.example.Shop");

    public static void main(String[] args) {
        int count = Integer.parseInt(args[0]);
        ThreadContext.put("session", "s1");
        for (int i = 0; i < count; i++) {
            String text = String.format("order %08d żółw", i);
            switch (i % 3) {
                case 0 -> LOG.info(text);
                case 1 -> LOG.warn(text);
                default -> LOG.error(text);
            }
        }
        LogManager.shutdown();
    }
}
