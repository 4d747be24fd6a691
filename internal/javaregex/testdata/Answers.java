import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/**
 * Says what java.util.regex makes of cases. Each line of the input is a case of three texts in hexadecimal UTF-8:
 * pattern, text, replacement. A line that starts with "c " has a pattern alone, and is answered by the code points that
 * it matches; one that starts with "d " has bytes, which are decoded. Each line of the output is the answer in JSON.
 */
public class Answers {
    static class Endless extends RuntimeException {}

    /** A text that cannot be looked at for ever. */
    record Bounded(String text, int[] left) implements CharSequence {
        public char charAt(int i) {
            if (left[0]-- == 0) throw new Endless();
            return text.charAt(i);
        }
        public int length() { return text.length(); }
        public CharSequence subSequence(int from, int to) { return text.substring(from, to); }
        public String toString() { return text; }
    }

    static String json(String s) {
        if (s == null) return "null";
        StringBuilder b = new StringBuilder("\"");
        for (char c : s.toCharArray()) {
            if (c < ' ' || c > '~' || c == '"' || c == '\\') b.append(String.format("\\u%04x", (int) c));
            else b.append(c);
        }
        return b.append('"').toString();
    }

    static String hex(String s) {
        return new String(HexFormat.of().parseHex(s), StandardCharsets.UTF_8);
    }

    static String answer(String pattern, String text, String replacement) {
        String head = "{\"p\":" + json(pattern) + ",\"t\":" + json(text) + ",\"r\":" + json(replacement);
        Pattern p;
        try {
            p = Pattern.compile(pattern);
        } catch (PatternSyntaxException e) {
            return head + ",\"refused\":true}";
        }
        StringBuilder b = new StringBuilder(head);
        try {
            Bounded input = new Bounded(text, new int[] {200_000});
            Matcher m = p.matcher(input);
            b.append(",\"whole\":").append(m.matches()).append(",\"found\":[");
            m.reset();
            String between = "";
            for (int n = 0; n < 30 && m.find(); n++) {
                b.append(between).append('[');
                for (int g = 0; g <= m.groupCount(); g++) b.append(g > 0 ? "," : "").append(json(m.group(g)));
                b.append(']');
                between = ",";
            }
            b.append(']');
            m.reset();
            try {
                String replaced = m.replaceAll(replacement);
                b.append(",\"replaced\":").append(json(replaced));
            } catch (IllegalArgumentException | IndexOutOfBoundsException e) {
                b.append(",\"wrong\":true");
            }
            return b.append('}').toString();
        } catch (Endless | StackOverflowError e) {
            return head + ",\"endless\":true}";
        }
    }

    /** The runs of code points that a pattern matches, of those that are assigned. */
    static String members(String pattern) {
        StringBuilder b = new StringBuilder("{\"p\":" + json(pattern));
        Matcher m;
        try {
            m = Pattern.compile(pattern).matcher("");
        } catch (PatternSyntaxException e) {
            return b.append(",\"refused\":true}").toString();
        }
        b.append(",\"runs\":[");
        int from = -1;
        boolean first = true;
        for (int c = 0; c <= 0x110000; c++) {
            boolean in = c < 0x110000 && (c < 0xD800 || c > 0xDFFF) && Character.isDefined(c)
                && m.reset(Character.toString(c)).matches();
            if (in && from < 0) from = c;
            if (!in && from >= 0) {
                b.append(first ? "" : ",").append(from).append(',').append(c - 1);
                first = false;
                from = -1;
            }
        }
        return b.append("]}").toString();
    }

    static String decoded(String bytes) {
        return "{\"bytes\":" + json(bytes) + ",\"t\":" + json(hex(bytes)) + "}";
    }

    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.US_ASCII);
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] f = line.split(" ", -1);
            switch (f[0]) {
                case "c" -> out.println(members(hex(f[1])));
                case "d" -> out.println(decoded(f[1]));
                default -> out.println(answer(hex(f[0]), hex(f[1]), hex(f[2])));
            }
        }
        out.flush();
    }
}
