// Sends N-best lists to LoRB and prints them re-ranked: hypotheses best first, each with its posterior, or "-" if the
// answer has none.
//
//     npm ci
//     node rescore.js localhost:50051 librispeech < lists.jsonl
//
// One list a line: {"id": "u1", "hyps": [{"text": "they's iron", "score": -5.1}, {"text": "there's iron", "score": -5.3}]}

const path = require('node:path');
const readline = require('node:readline');
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');

const ROOT = path.join(__dirname, '..', '..');
const DEADLINE_MS = 10_000;

const definition = protoLoader.loadSync('lorb/v1/rescoring.proto', {
  includeDirs: [path.join(ROOT, 'proto'), path.join(ROOT, 'examples', 'protos')],
  enums: String,
  defaults: true,
});
const { RescoringService } = grpc.loadPackageDefinition(definition).lorb.v1;

// Resolves to a RescoreResponse. Rejects with a grpc.ServiceError, whose code and details give the reason.
function rescore(client, list, domain) {
  const request = {
    requestId: list.id,
    domain,
    hypotheses: list.hyps.map(({ text, score }) => ({ transcript: text, firstPassScore: score })),
  };
  return new Promise((resolve, reject) => {
    client.Rescore(request, { deadline: Date.now() + DEADLINE_MS }, (error, response) =>
      error ? reject(error) : resolve(response),
    );
  });
}

async function main([target = 'localhost:50051', domain = 'librispeech']) {
  const client = new RescoringService(target, grpc.credentials.createInsecure());
  try {
    for await (const line of readline.createInterface({ input: process.stdin })) {
      const answer = await rescore(client, JSON.parse(line), domain);
      console.log(`${answer.requestId} ${answer.outcome}`);
      for (const { index, posterior, transcript } of answer.hypotheses) {
        console.log(`${index}\t${posterior?.toFixed(3) ?? '-'}\t${transcript}`);
      }
    }
  } finally {
    client.close();
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(`rescore.js: ${error.message}`);
  process.exitCode = 1;
});
