// Decodes each record with hamba/avro and with goavro and encodes it again; resolves one with an
// older reader's schema, which goavro does not do.
package main

import (
	"encoding/hex"
	"encoding/json"
	"log"
	"os"

	"github.com/hamba/avro/v2"
	"github.com/linkedin/goavro/v2"
)

// Without it arrays are written in Avro's other form, with their size in bytes.
var plain = avro.Config{DisableBlockSizeHeader: true}.Freeze()

type record struct {
	Name   string          `json:"name"`
	Schema json.RawMessage `json:"schema"`
	Body   string          `json:"body"`
}

type request struct {
	Records []record `json:"records"`
	Newer   struct {
		Writer json.RawMessage `json:"writer"`
		Reader json.RawMessage `json:"reader"`
		Body   string          `json:"body"`
		Field  string          `json:"field"`
	} `json:"newer"`
}

type answer struct {
	Again     map[string]string `json:"again"`
	Resolved  any               `json:"resolved"`
	AsWritten any               `json:"as_written"`
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func parsed(schema json.RawMessage) avro.Schema {
	return must(avro.ParseBytesWithCache(schema, "", &avro.SchemaCache{}))
}

func main() {
	var asked request
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		log.Fatal(err)
	}
	hamba, linkedin := answer{Again: map[string]string{}}, answer{Again: map[string]string{}}
	for _, r := range asked.Records {
		body := must(hex.DecodeString(r.Body))
		schema := parsed(r.Schema)
		var value any
		if err := avro.Unmarshal(schema, body, &value); err != nil {
			log.Fatal(err)
		}
		hamba.Again[r.Name] = hex.EncodeToString(must(plain.Marshal(schema, value)))
		codec := must(goavro.NewCodec(string(r.Schema)))
		native, rest, err := codec.NativeFromBinary(body)
		if err != nil || len(rest) > 0 {
			log.Fatal(r.Name, err, len(rest))
		}
		linkedin.Again[r.Name] = hex.EncodeToString(must(codec.BinaryFromNative(nil, native)))
	}
	body := must(hex.DecodeString(asked.Newer.Body))
	writer, reader := parsed(asked.Newer.Writer), parsed(asked.Newer.Reader)
	resolved := must(avro.NewSchemaCompatibility().Resolve(reader, writer))
	var as map[string]any
	if err := avro.Unmarshal(resolved, body, &as); err != nil {
		log.Fatal(err)
	}
	hamba.Resolved = as[asked.Newer.Field]
	if err := avro.Unmarshal(writer, body, &as); err != nil {
		log.Fatal(err)
	}
	hamba.AsWritten = as[asked.Newer.Field]
	native, _, err := must(goavro.NewCodec(string(asked.Newer.Writer))).NativeFromBinary(body)
	if err != nil {
		log.Fatal(err)
	}
	linkedin.AsWritten = native.(map[string]any)[asked.Newer.Field]
	must(0, json.NewEncoder(os.Stdout).Encode(map[string]answer{"hamba": hamba, "goavro": linkedin}))
}
