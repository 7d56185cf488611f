// deno-lint-ignore-file no-console -- a command.

// An echo server, or a client of one, for Node.js and Bun:
// echo.js PACKAGE FOLDER server | echo.js PACKAGE FOLDER client PORT. FOLDER holds certificates and keys.

import { readFileSync } from "node:fs";
import process from "node:process";

const [, , library, folder, role, port] = process.argv;
const { connectDtls, listenDtls } = await import(library);
const file = (name) => readFileSync(`${folder}/${name}`);
const common = { ca: file("ca.pem"), alpn: ["echo"] };

async function echo(association) {
  for await (const message of association) await association.send(message);
}

if (role === "server") {
  const endpoint = await listenDtls({
    ...common,
    credentials: [{ cert: file("server.pem"), key: file("server.key") }],
    clientCertificate: "required",
  });
  console.log(endpoint.addr.port);
  // One client, and it is over.
  for await (const association of endpoint) {
    await echo(association);
    break;
  }
  await endpoint.close();
} else {
  const association = await connectDtls({
    ...common,
    hostname: "localhost",
    port: Number(port),
    credentials: [{ cert: file("client.pem"), key: file("client.key") }],
  });
  await association.send(new TextEncoder().encode("hello"));
  for await (const message of association) {
    console.log(association.version, association.alpn, new TextDecoder().decode(message));
    break;
  }
  await association.close();
}
