import java.io.File;
import java.nio.ByteBuffer;
import java.util.HashMap;
import java.util.Iterator;
import java.util.Map;
import java.util.UUID;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.message.BinaryMessageEncoder;

/** Encodes one report as an Avro single object with Apache Avro: Encode SCHEMA REPORT_JSON &gt; OUT. */
public final class Encode {
    public static void main(String[] args) throws Exception {
        Schema schema = new Schema.Parser().parse(new File(args[0]));
        JsonNode report = new ObjectMapper().readTree(new File(args[1]));
        GenericRecord record = new GenericData.Record(schema);
        for (String name : new String[] {"report_id", "installation_id", "host_id", "session_id"}) {
            record.put(name, uuid(schema.getField(name).schema(), report.get(name).asText()));
        }
        for (String name : new String[] {"kind", "consent"}) {
            record.put(name, new GenericData.EnumSymbol(schema.getField(name).schema(), report.get(name).asText()));
        }
        for (String name : new String[] {"sent_at", "session_started_at"}) {
            record.put(name, report.get(name + "_ms").asLong());
        }
        record.put("sequence", report.get("sequence").asLong());
        record.put("day", report.get("day").asInt());
        record.put("policy_version", report.get("policy_version").asInt());
        for (String name : new String[] {"customer", "application", "host"}) {
            GenericRecord nested = new GenericData.Record(schema.getField(name).schema());
            for (Schema.Field field : nested.getSchema().getFields()) {
                JsonNode value = report.get(name).get(field.name());
                nested.put(field.name(), value.isInt() ? (Object) value.asInt() : value.asText());
            }
            record.put(name, nested);
        }
        for (String name : new String[] {"counters", "gauges", "distincts"}) {
            Map<String, Long> values = new HashMap<>();
            for (Iterator<Map.Entry<String, JsonNode>> it = report.get(name).fields(); it.hasNext();) {
                Map.Entry<String, JsonNode> entry = it.next();
                values.put(entry.getKey(), entry.getValue().asLong());
            }
            record.put(name, values);
        }
        ByteBuffer out = new BinaryMessageEncoder<GenericRecord>(new GenericData(), schema).encode(record);
        System.out.write(out.array(), out.arrayOffset() + out.position(), out.remaining());
        System.out.flush();
    }

    private static GenericData.Fixed uuid(Schema schema, String text) {
        UUID id = UUID.fromString(text);
        ByteBuffer bytes = ByteBuffer.allocate(16).putLong(id.getMostSignificantBits()).putLong(id.getLeastSignificantBits());
        return new GenericData.Fixed(schema, bytes.array());
    }
}
