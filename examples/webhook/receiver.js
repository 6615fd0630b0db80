// Takes mail from Mailport, format JSON, signed: WEBHOOK_KEY=… node receiver.js PORT FOLDER
const { createHmac, timingSafeEqual } = require("crypto"), fs = require("fs"), http = require("http");
const key = Buffer.from(process.env.WEBHOOK_KEY.replace(/^whsec_/, ""), "base64"), folder = fs.openSync(process.argv[3]);
const same = (one, other) => one.length === other.length && timingSafeEqual(Buffer.from(one), Buffer.from(other));

http.createServer((request, response) => {
  const pieces = [], { "webhook-id": id, "webhook-timestamp": stamp, "webhook-signature": signed = "" } = request.headers;
  request.on("data", (piece) => pieces.push(piece)).on("end", () => {
    const body = Buffer.concat(pieces);
    const ours = "v1," + createHmac("sha256", key).update(`${id}.${stamp}.`).update(body).digest("base64");
    const genuine = signed.split(" ").some((one) => same(one, ours)) && Math.abs(Date.now() / 1000 - stamp) < 300;
    if (genuine) {
      const file = fs.openSync(`${process.argv[3]}/${id}.json`, "w"); // the same id: the same message again
      fs.writeFileSync(file, body);
      for (const one of [file, folder]) fs.fsyncSync(one); // 204 says that it survives a crash
      fs.closeSync(file);
    }
    response.writeHead(genuine ? 204 : 401).end();
  });
}).listen(+process.argv[2]);
