import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.util.HexFormat;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;

/** Decodes each record with Apache Avro and encodes it again; resolves one with an older schema. */
public class Roundtrip {
    public static void main(String[] args) throws IOException {
        ObjectMapper json = new ObjectMapper();
        JsonNode asked = json.readTree(System.in);
        ObjectNode answer = json.createObjectNode();
        ObjectNode again = answer.putObject("avro").putObject("again");
        for (JsonNode one : asked.get("records")) {
            Schema schema = parsed(one.get("schema"));
            GenericRecord value = read(schema, schema, one.get("body").asText());
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            BinaryEncoder encoder = EncoderFactory.get().binaryEncoder(out, null);
            new GenericDatumWriter<GenericRecord>(schema).write(value, encoder);
            encoder.flush();
            again.put(one.get("name").asText(), HexFormat.of().formatHex(out.toByteArray()));
        }
        JsonNode newer = asked.get("newer");
        Schema writer = parsed(newer.get("writer"));
        String body = newer.get("body").asText();
        String field = newer.get("field").asText();
        ((ObjectNode) answer.get("avro"))
            .put("resolved", read(writer, parsed(newer.get("reader")), body).get(field).toString())
            .put("as_written", read(writer, writer, body).get(field).toString());
        System.out.println(answer);
    }

    static Schema parsed(JsonNode schema) {
        return new Schema.Parser().parse(schema.toString());
    }

    static GenericRecord read(Schema writer, Schema reader, String hex) throws IOException {
        byte[] body = HexFormat.of().parseHex(hex);
        return new GenericDatumReader<GenericRecord>(writer, reader)
            .read(null, DecoderFactory.get().binaryDecoder(body, null));
    }
}
