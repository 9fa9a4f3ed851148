// Decodes each record with avsc and encodes it again; resolves one with an older reader's schema.
import { readFileSync } from 'node:fs'
import avsc from 'avsc'

const asked = JSON.parse(readFileSync(0, 'utf8'))
const again = {}
for (const { name, schema, body } of asked.records) {
  const type = avsc.Type.forSchema(schema)
  again[name] = type.toBuffer(type.fromBuffer(Buffer.from(body, 'hex'))).toString('hex')
}
const { writer, reader, body, field } = asked.newer
const [written, known] = [avsc.Type.forSchema(writer), avsc.Type.forSchema(reader)]
const bytes = Buffer.from(body, 'hex')
const resolved = known.fromBuffer(bytes, known.createResolver(written))
console.log(
  JSON.stringify({
    avsc: { again, resolved: resolved[field], as_written: written.fromBuffer(bytes)[field] },
  }),
)
