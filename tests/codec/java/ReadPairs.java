import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericEnumSymbol;
import org.apache.avro.generic.GenericFixed;
import org.apache.avro.generic.IndexedRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DecoderFactory;

/**
 * What Avro's own reader makes of pairs of schemas.
 *
 * <p>Reads lines of JSON {"writer": schema, "reader": schema, "body": hex}, and answers each with a
 * line: {"value": …} with records as lists and every number, text and bytes as a text that begins with
 * its kind, or {"error": …}.
 */
public final class ReadPairs {
  public static void main(String[] arguments) throws Exception {
    ObjectMapper json = new ObjectMapper();
    PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
    BufferedReader in =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      Map<String, Object> answer = new LinkedHashMap<>();
      try {
        answer.put("value", read(json.readTree(line)));
      } catch (RuntimeException | java.io.IOException error) {
        answer.put("error", error.toString());
      }
      out.println(json.writeValueAsString(answer));
    }
    out.flush();
  }

  private static Object read(JsonNode pair) throws java.io.IOException {
    Schema writer = new Schema.Parser().parse(pair.get("writer").toString());
    Schema reader = new Schema.Parser().parse(pair.get("reader").toString());
    byte[] body = HexFormat.of().parseHex(pair.get("body").asText());
    BinaryDecoder decoder = DecoderFactory.get().binaryDecoder(body, null);
    Object read = new GenericDatumReader<Object>(writer, reader).read(null, decoder);
    if (!decoder.isEnd()) {
      throw new java.io.IOException("bytes follow");
    }
    return told(read);
  }

  private static Object told(Object value) {
    if (value == null || value instanceof Boolean) {
      return value;
    }
    if (value instanceof Integer || value instanceof Long) {
      return "int " + value;
    }
    if (value instanceof Float || value instanceof Double) {
      double number = ((Number) value).doubleValue();
      return "float " + Long.toHexString(Double.doubleToLongBits(number));
    }
    if (value instanceof CharSequence || value instanceof GenericEnumSymbol) {
      return "text " + value;
    }
    if (value instanceof GenericFixed) {
      return "bytes " + HexFormat.of().formatHex(((GenericFixed) value).bytes());
    }
    if (value instanceof ByteBuffer) {
      ByteBuffer content = ((ByteBuffer) value).duplicate();
      byte[] copy = new byte[content.remaining()];
      content.get(copy);
      return "bytes " + HexFormat.of().formatHex(copy);
    }
    if (value instanceof IndexedRecord) {
      IndexedRecord record = (IndexedRecord) value;
      List<Object> row = new ArrayList<>();
      for (Schema.Field field : record.getSchema().getFields()) {
        row.add(told(record.get(field.pos())));
      }
      return row;
    }
    if (value instanceof Map) {
      Map<String, Object> entries = new LinkedHashMap<>();
      ((Map<?, ?>) value).forEach((key, one) -> entries.put(key.toString(), told(one)));
      return entries;
    }
    List<Object> items = new ArrayList<>();
    ((Iterable<?>) value).forEach(one -> items.add(told(one)));
    return items;
  }
}
