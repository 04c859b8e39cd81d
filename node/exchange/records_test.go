package exchange

import (
	"encoding/json"
	"fmt"

	"github.com/hutong-bus/hutong/node/api"
)

// caseOf is a record of approvals.case; members are replaced or, when nil, left
// out.
func caseOf(number string, members map[string]any) []byte { return recordOf("", number, members) }

func recordOf(envelope, number string, members map[string]any) []byte {
	data := map[string]any{"case_no": number, "task_name": "商品房预售许可", "dept_code": "GTFG01", "status": "受理", "applicant_name": "欧阳锦程", "phone": "13800138000"}
	for k, v := range members {
		if data[k] = v; v == nil {
			delete(data, k)
		}
	}
	body, err := json.Marshal(data)
	if err != nil {
		panic(err)
	}
	return fmt.Appendf(nil, `{%s"op":"upsert","data":%s}`, envelope, body)
}

// seqOf is a record of a producer.
func seqOf(seq int, number string, members map[string]any) []byte {
	return recordOf(fmt.Sprintf(`"seq":%d,`, seq), number, members)
}

func batchOf(lines ...[]byte) PublishRequest {
	return PublishRequest{Resource: cases, Lines: lines, Language: "zh"}
}

func producerBatch(lines ...[]byte) PublishRequest {
	return PublishRequest{Resource: cases, Producer: "gtfg.pub", Epoch: 1, Lines: lines, Language: "zh"}
}

// publish publishes in gtfg's name and wants an answer for each line.
func (b *bench) publish(in PublishRequest) api.PublishAnswer {
	b.t.Helper()
	out, err := b.Publish(b.t.Context(), b.as("gtfg.pub"), in)
	if err != nil {
		b.t.Fatal(err)
	}
	if len(out.Items) != len(in.Lines) {
		b.t.Fatalf("%d answers for %d lines", len(out.Items), len(in.Lines))
	}
	return out
}

// one publishes a single record in gtfg's name.
func (b *bench) one(line []byte) (api.Receipt, error) {
	in := batchOf(line)
	in.Single = true
	return b.PublishOne(b.t.Context(), b.as("gtfg.pub"), in)
}

// statuses are the items' words; a reason follows what was not taken.
func statuses(a api.PublishAnswer) []string {
	var out []string
	for _, i := range a.Items {
		s := i.Status
		if len(i.Errors) > 0 {
			s += " " + i.Errors[0].Code
		}
		out = append(out, s)
	}
	return out
}
