// What is tried against programs that send the lines of their standard input and print what they receive, in DTLS
// 1.2.

import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  type CipherSuite,
  connectDtls,
  type DtlsSession,
  listenDtls,
} from "../../src/dtls_runtime/mod.ts";
import { bytes, text } from "../dtls_runtime/loopback.ts";
import { IN_TIME, nextAssociation } from "./echo_cases.ts";
import type { ForeignCertificates } from "./foreign_certificates.ts";
import type { ForeignProcess } from "./foreign_process.ts";
import { WatchedUdp } from "./watched_udp.ts";

/** Associations that follow each other, each but the first a resumption. */
const ASSOCIATIONS = 3;

/** What a program is told, besides the certificates: it requires, or shows, a client's. */
export interface LineOptions {
  /** A cipher suite, and the name that the program has for it. Default: whatever both agree on. */
  readonly suite?: { readonly number: CipherSuite; readonly name: string };
  /** Whether the associations that follow are resumptions. Otherwise there is only one. */
  readonly isResuming: boolean;
}

/** Another stack's programs. */
export interface LineStack {
  /** Whether its server sends back what it receives, rather than its standard input. */
  readonly isEcho: boolean;
  /** Starts its server. */
  serve(
    certificates: ForeignCertificates,
    options: LineOptions,
  ): Promise<{ readonly process: ForeignProcess; readonly port: number }>;
  /**
   * Starts clients of a server at a port of the loopback address, for one association each, or one client for as many
   * as it makes by itself.
   */
  call(
    certificates: ForeignCertificates,
    port: number,
    options: LineOptions & { readonly isFirst: boolean },
  ): ForeignProcess;
  /** How many associations one of its clients makes by itself where it resumes. */
  readonly associationsOfClient: number;
  /** What a client or server prints of a session that was resumed. */
  readonly resumed: RegExp;
}

/** The value of the exporter that a program printed last. */
function printedKeyingMaterial({ output }: ForeignProcess): string | undefined {
  const all = [...output.matchAll(/key(?:ing)? material: ([0-9a-f]+)$/gim)];
  return all.at(-1)?.[1]?.toLowerCase();
}

/** Our client, their server. */
export async function callTheirServer(
  stack: LineStack,
  certificates: ForeignCertificates,
  options: LineOptions,
): Promise<void> {
  const { process, port } = await stack.serve(certificates, options);
  await using server = process;
  const watched = new WatchedUdp();
  const sessions: DtlsSession[] = [];
  for (let number = 0; number < (options.isResuming ? ASSOCIATIONS : 1); number++) {
    const session = sessions.pop();
    const client = await connectDtls({
      hostname: "localhost",
      port,
      ca: certificates.ca,
      credentials: [certificates.client],
      alpn: ["echo"],
      udp: watched.udp,
      limits: IN_TIME,
      onSession: (given) => sessions.push(given),
      ...(session !== undefined && { session }),
    });
    assertEquals([client.version, client.alpn, client.isResumed], ["1.2", "echo", number > 0]);
    if (options.suite !== undefined) assertEquals(client.cipherSuite, options.suite.number);
    await client.send(bytes(`line ${number} from us\n`));
    if (!stack.isEcho) {
      await server.finds(new RegExp(`line ${number} from us`));
      await server.write(`line ${number} from them\n`);
      assertEquals(
        printedKeyingMaterial(server),
        client.exportKeyingMaterial("EXPORTER-test", 16).toHex(),
      );
    }
    for await (const line of client) {
      assertEquals(text(line), `line ${number} from ${stack.isEcho ? "us" : "them"}\n`);
      break;
    }
    await client.close();
    assertEquals(await client.closed, undefined);
  }
  if (!options.isResuming) assertEquals(watched.clientHellos, 2, "ClientHellos, one with a cookie");
}

/** Their client, our server. */
export async function serveTheirClient(
  stack: LineStack,
  certificates: ForeignCertificates,
  options: LineOptions,
): Promise<void> {
  const watched = new WatchedUdp();
  await using endpoint = await listenDtls({
    credentials: [certificates.server],
    ca: certificates.ca,
    clientCertificate: "required",
    alpn: ["echo"],
    udp: watched.udp,
    limits: IN_TIME,
    ...(options.suite !== undefined && { cipherSuites: [options.suite.number] }),
  });
  const accepted = endpoint[Symbol.asyncIterator]();
  const associations = options.isResuming ? ASSOCIATIONS : 1;
  for (let number = 0; number < associations;) {
    const isFirst = number === 0;
    await using client = stack.call(certificates, endpoint.addr.port, { ...options, isFirst });
    const ofThis = options.isResuming ? stack.associationsOfClient : 1;
    for (let own = 1; own <= ofThis; own++, number++) {
      const association = await nextAssociation(accepted, client);
      const { version, alpn, isResumed } = association;
      const wantsResumed = stack.associationsOfClient === 1 ? !isFirst : own > 1;
      assertEquals([version, alpn, isResumed], ["1.2", "echo", wantsResumed]);
      assertEquals(association.peerCertificate !== undefined, true);
      // Those before the last are over at once.
      if (own === ofThis) await converse(client, association);
      assertEquals(await association.closed, undefined);
    }
    assertEquals(await client.ended(), 0, client.output);
    if (number > 1) assertMatch(client.output, stack.resumed);
  }
  assert(watched.clientHellos >= 2 * associations, "each client shows its address with a cookie");
}

type Association = Awaited<ReturnType<typeof connectDtls>>;

/** A line each way, and the client's end. */
async function converse(client: ForeignProcess, association: Association): Promise<void> {
  await client.write("a line from them\n");
  for await (const line of association) {
    assertEquals(text(line), "a line from them\n");
    await association.send(bytes("a line from us\n"));
    await client.finds(/^a line from us/m);
    assertEquals(
      printedKeyingMaterial(client),
      association.exportKeyingMaterial("EXPORTER-test", 16).toHex(),
    );
    await client.endInput();
  }
}

/** Tries everything both ways, as steps of a test. */
export async function tryLines(
  context: Deno.TestContext,
  stack: LineStack,
  certificates: ForeignCertificates,
  suites: readonly NonNullable<LineOptions["suite"]>[],
): Promise<void> {
  const wanted: readonly (LineOptions & { readonly name: string })[] = [
    { name: "a full handshake with a cookie and a client certificate", isResuming: false },
    { name: "resumption", isResuming: true },
    ...suites.map((suite) => ({ name: suite.name, suite, isResuming: false })),
  ];
  for (const { name, ...options } of wanted) {
    await context.step(
      `our client, their server: ${name}`,
      () => callTheirServer(stack, certificates, options),
    );
    await context.step(
      `their client, our server: ${name}`,
      () => serveTheirClient(stack, certificates, options),
    );
  }
}
