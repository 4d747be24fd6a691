import java.io.*;
import java.nio.charset.StandardCharsets;
import java.util.*;
import org.apache.flume.formatter.output.BucketPath;

/** Asks Flume what paths it makes. A line is text, zone, header timestamp, unit, value, separated by tabs; empty: none. */
public class Bucket {
  public static void main(String[] args) throws Exception {
    Locale.setDefault(Locale.ENGLISH);
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), true, "UTF-8");
    System.setOut(System.err);
    for (String line; (line = in.readLine()) != null; ) {
      String[] q = line.split("\t", -1);
      Map<String, String> headers = new HashMap<>();
      headers.put("project_id", "p1");
      headers.put("a.b-c", "%Y");
      if (!q[2].isEmpty()) headers.put("timestamp", q[2]);
      int unit = q[3].equals("hour") ? Calendar.HOUR_OF_DAY : q[3].equals("minute") ? Calendar.MINUTE : Calendar.SECOND;
      String answer;
      try {
        answer = "=" + BucketPath.escapeString(q[0], headers, TimeZone.getTimeZone(q[1]), !q[3].isEmpty(), unit,
            q[3].isEmpty() ? 1 : Integer.parseInt(q[4]), false);
      } catch (RuntimeException e) {
        answer = "!";
      }
      out.println(line + "\t" + answer);
    }
  }
}
