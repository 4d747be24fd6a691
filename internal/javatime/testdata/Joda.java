import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.Locale;
import org.joda.time.DateTimeUtils;
import org.joda.time.DateTimeZone;
import org.joda.time.format.DateTimeFormat;
import org.joda.time.format.DateTimeFormatter;

/**
 * Says what Joda-Time makes of cases. Each line of the input is a case of three texts in hexadecimal UTF-8: pattern,
 * zone, text. The answer is a line: the three texts as they came, and the milliseconds, or "pattern" or "text" if that
 * is refused. It is the year 2026.
 */
public class Joda {
    static String hex(String s) {
        return new String(HexFormat.of().parseHex(s), StandardCharsets.UTF_8);
    }

    static String answer(String pattern, String zone, String text) {
        DateTimeFormatter format;
        try {
            format = DateTimeFormat.forPattern(pattern).withLocale(Locale.US).withZone(DateTimeZone.forID(zone));
            if (!format.isParser()) return "pattern";
        } catch (IllegalArgumentException e) {
            return "pattern";
        }
        try {
            return Long.toString(format.parseDateTime(text).getMillis());
        } catch (IllegalArgumentException | ArithmeticException | IndexOutOfBoundsException e) {
            return "text";
        }
    }

    public static void main(String[] args) throws Exception {
        DateTimeUtils.setCurrentMillisFixed(1795000000000L);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.US_ASCII);
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] f = line.split(" ", -1);
            out.println(line + " " + answer(hex(f[0]), hex(f[1]), hex(f[2])));
        }
        out.flush();
    }
}
