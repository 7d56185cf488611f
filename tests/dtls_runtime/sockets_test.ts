// Servers and clients on real sockets, on every kind of socket that there is.

import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import {
  AddressError,
  connectDtls,
  type ConnectedAssociation,
  type DatagramSink,
  type DatagramSocket,
  decodeSession,
  denoUdp,
  DtlsAlertError,
  DtlsError,
  DtlsFault,
  type DtlsSession,
  encodeSession,
  listenDtls,
  type ListeningEndpoint,
  nodeUdp,
  PemLabel,
  pemText,
  SingleUseTickets,
  type UdpRuntime,
} from "../../src/dtls_runtime/mod.ts";
import {
  CLIENT_CREDENTIAL,
  OTHER_CA_CREDENTIAL,
  SERVER_CREDENTIAL,
} from "../harness/credentials.ts";
import { until } from "../harness/live_server.ts";
import { testWith } from "../harness/permissions.ts";
import {
  bytes,
  CA,
  CLIENT,
  connectTo,
  LISTEN,
  P256_SERVER,
  SERVER,
  socketTest,
  text,
} from "./loopback.ts";

/** The next one of an iterable. */
async function next<Item>(from: AsyncIterable<Item>): Promise<Item> {
  for await (const item of from) return item;
  throw new Error("there was none");
}

/** An endpoint's next association, and the client that it belongs to. */
async function pair(
  endpoint: ListeningEndpoint,
  options: Partial<Parameters<typeof connectDtls>[0]> = {},
): Promise<{ server: ConnectedAssociation; client: ConnectedAssociation }> {
  const [server, client] = await Promise.all([
    next(endpoint),
    connectDtls({ ...connectTo(endpoint.addr), ...options }),
  ]);
  return { server, client };
}

for (const [name, udp] of Object.entries({ denoUdp, nodeUdp })) {
  socketTest(
    `${name}: both sides are authenticated, messages go both ways, both learn of the end`,
    async () => {
      await using endpoint = await listenDtls({
        ...LISTEN,
        udp,
        alpn: ["b", "a"],
        ca: CA,
        clientCertificate: "required",
      });
      const { server, client } = await pair(endpoint, { udp, alpn: ["a"], credentials: [CLIENT] });
      for (const side of [server, client]) {
        assertEquals([side.version, side.alpn], ["1.3", "a"]);
        assert(side.messageBytesMax > 1_000);
      }
      assertEquals(client.peerCertificate, SERVER_CREDENTIAL.certificate);
      assertEquals(server.peerCertificate, CLIENT_CREDENTIAL.certificate);
      assertEquals(client.remoteAddress, endpoint.addr);
      assertEquals(
        client.exportKeyingMaterial("EXPORTER-Channel-Binding", 32),
        server.exportKeyingMaterial("EXPORTER-Channel-Binding", 32),
      );
      await client.send(bytes("to the server"));
      assertEquals(text(await next(server)), "to the server");
      await server.send(bytes("to the client"));
      assertEquals(text(await next(client)), "to the client");

      await client.close();
      await assertRejects(() => next(server), Error, "there was none");
      assertEquals([await client.closed, await server.closed], [undefined, undefined]);
      const error = await assertRejects(() => client.send(bytes("late")), DtlsError);
      assertEquals(error.reason, "not-connected");
    },
  );

  socketTest(`${name}: an address in use is an AddressError that says so`, async () => {
    await using endpoint = await listenDtls({ ...LISTEN, udp });
    await assertRejects(
      () => listenDtls({ ...LISTEN, ...endpoint.addr, udp }),
      AddressError,
      "is in use",
    );
  });

  socketTest(`${name}: many messages in one moment all arrive, each once`, async () => {
    await using endpoint = await listenDtls({ ...LISTEN, udp });
    const { server, client } = await pair(endpoint, { udp });
    const sent = Array.from({ length: 60 }, (_, number) => `${number}`);
    for (const message of sent) client.send(bytes(message));
    const received: string[] = [];
    for await (const message of server) {
      received.push(text(message));
      if (received.length === sent.length) break;
    }
    assertEquals(received, sent);
    await client.close();
  });
}

socketTest("certificates and keys come as PEM or DER, as text or bytes", async () => {
  const { certificate, pkcs8 } = SERVER_CREDENTIAL;
  for (
    const credential of [
      { cert: certificate, key: pkcs8 },
      { cert: [certificate], key: bytes(SERVER.key as string) },
      { cert: bytes(SERVER.cert as string), key: SERVER.key },
    ]
  ) {
    await using endpoint = await listenDtls({ credentials: [credential] });
    const { client } = await pair(endpoint, { hostname: "localhost" });
    assertEquals(client.peerCertificate, certificate);
    await client.close();
  }
});

socketTest("a certificate or key that cannot be used is a bad option, and says which", async () => {
  const port = 1;
  for (
    const [call, message] of [
      [() => listenDtls({ credentials: [{ ...SERVER, key: P256_SERVER.key }] }), "key: "],
      [() => listenDtls({ credentials: [{ ...SERVER, cert: "" }] }), "cert: "],
      [() => listenDtls({ ...LISTEN, clientCertificate: "optional" }), "ca: "],
      [() => connectDtls({ hostname: "localhost", port, ca: "none" }), "ca: "],
      [() => connectDtls({ hostname: "localhost", port, ca: CA, crl: CA }), "crl: "],
    ] as const
  ) {
    const error = await assertRejects<DtlsError>(call, DtlsError, message);
    assertEquals(error.reason, "bad-option");
  }
});

socketTest(
  "a server whose certificate is of another authority is refused, and learns why",
  async () => {
    const failures: string[] = [];
    await using endpoint = await listenDtls({
      ...LISTEN,
      onHandshakeFailed: (error) => failures.push(error.message),
    });
    const ca = pemText(PemLabel.certificate, OTHER_CA_CREDENTIAL.certificate);
    for (const wrong of [{ ca }, { ca: CA, serverName: "example.org" }]) {
      const options = { ...connectTo(endpoint.addr), ...wrong };
      const error = await assertRejects(() => connectDtls(options), DtlsFault);
      assertEquals(
        error.reason,
        "ca" in wrong && wrong.ca === ca ? "unknown-ca" : "bad-certificate",
      );
    }
    await until("the server knows", () => failures.length === 2);
    assertEquals(failures, [
      "the peer sent the alert unknown_ca",
      "the peer sent the alert bad_certificate",
    ]);
    assertEquals(endpoint.counters().handshakeFailures, {
      "alert-unknown_ca": 1,
      "alert-bad_certificate": 1,
    });
  },
);

const publicTrust = [
  { name: "net", host: "127.0.0.1" },
  { name: "sys" },
] as const;
testWith(
  { permissions: publicTrust },
  "the public authorities are trusted by default: not ours",
  async () => {
    await using endpoint = await listenDtls(LISTEN);
    const { ca: _, ...options } = connectTo(endpoint.addr);
    const error = await assertRejects(() => connectDtls(options), DtlsFault);
    assertEquals(error.reason, "unknown-ca");
  },
);

socketTest("a client without the certificate that is required learns so", async () => {
  await using endpoint = await listenDtls({ ...LISTEN, ca: CA, clientCertificate: "required" });
  const client = await connectDtls(connectTo(endpoint.addr));
  const error = await client.closed;
  assertInstanceOf(error, DtlsAlertError);
  assertEquals(error.message, "the peer sent the alert certificate_required");
  await assertRejects(() => next(client), DtlsAlertError);
});

socketTest("a session is resumed; where the endpoint makes no tickets, none is given", async () => {
  for (const tickets of [undefined, null]) {
    await using endpoint = await listenDtls({
      ...LISTEN,
      ...(tickets === null && { tickets }),
    });
    const sessions: DtlsSession[] = [];
    const first = await pair(endpoint, { onSession: (session) => sessions.push(session) });
    await first.server.send(bytes("after the tickets"));
    await next(first.client);
    await first.client.close();
    assertEquals(sessions.length, tickets === null ? 0 : 2);
    const session = sessions.map((one) => decodeSession(encodeSession(one)))[0];
    const { server, client } = await pair(endpoint, session === undefined ? {} : { session });
    for (const side of [server, client]) assertEquals(side.isResumed, tickets !== null);
    assertEquals(client.peerCertificate, SERVER_CREDENTIAL.certificate);
    await client.close();
  }
});

socketTest(
  "early data is taken with the ClientHello, once; what is not taken is reported",
  async () => {
    const early: string[] = [];
    const earlyData = {
      bytesMax: 100,
      tickets: new SingleUseTickets((length) => crypto.getRandomValues(new Uint8Array(length))),
    };
    await using endpoint = await listenDtls({
      ...LISTEN,
      earlyData,
      onEarlyData: (message) => early.push(text(message)),
    });
    const sessions: DtlsSession[] = [];
    const lost: string[] = [];
    const options = {
      onSession: (session: DtlsSession) => sessions.push(session),
      onEarlyDataLost: (messages: readonly Uint8Array[]) => lost.push(...messages.map(text)),
    };
    const first = await pair(endpoint, { ...options, earlyData: [bytes("no session yet")] });
    await first.server.send(bytes("after the tickets"));
    await next(first.client);
    await first.client.close();
    assertEquals([early, lost], [[], ["no session yet"]]);
    // The same ticket twice: the second time its early data is refused.
    for (const isTaken of [true, false]) {
      early.length = lost.length = 0;
      const messages = [bytes("one"), bytes("two"), new Uint8Array(100)];
      const { server, client } = await pair(endpoint, {
        ...options,
        session: sessions[0]!,
        earlyData: messages,
      });
      await client.send(bytes("after it"));
      assertEquals(text(await next(server)), "after it");
      assert(client.isResumed);
      assertEquals(early, isTaken ? ["one", "two"] : []);
      const large = text(new Uint8Array(100));
      assertEquals(lost, isTaken ? [large] : [large, "one", "two"]);
      await client.close();
    }
  },
);

socketTest("keys change while messages go on, in DTLS 1.3 only", async () => {
  await using endpoint = await listenDtls(LISTEN);
  const { server, client } = await pair(endpoint);
  assert(client.updateKeys({ requestPeer: true }));
  for (let number = 0; number < 5; number++) {
    await client.send(bytes(`${number}`));
    assertEquals(text(await next(server)), `${number}`);
    await server.send(bytes(`${number} back`));
    assertEquals(text(await next(client)), `${number} back`);
  }
  await client.close();
  const old = await pair(endpoint, { versions: ["1.2"] });
  assertEquals([old.server.version, old.client.version], ["1.2", "1.2"]);
  const error = assertThrows(() => old.client.updateKeys(), DtlsError);
  assertEquals(error.reason, "wrong-version");
  await old.client.close();
});

/** Sockets whose address on the network can change, as behind a translator that forgets. */
class MovingUdp {
  #socket: DatagramSocket | undefined;
  #sink: DatagramSink | undefined;
  readonly #receiving: Promise<void>[] = [];

  readonly udp: UdpRuntime = {
    ...denoUdp,
    listen: async (hostname, port) => {
      const first = await denoUdp.listen(hostname, port);
      this.#socket = first;
      return {
        address: first.address,
        send: (datagram, to) => this.#socket!.send(datagram, to),
        receive: async (sink) => {
          this.#sink = sink;
          this.#receiving.push(first.receive(sink));
          await Promise.all(this.#receiving);
        },
        close: () => this.#socket!.close(),
      };
    },
  };

  /** Another port from now on. */
  async move(): Promise<void> {
    this.#socket!.close();
    this.#socket = await denoUdp.listen("127.0.0.1", 0);
    this.#receiving.push(this.#socket.receive(this.#sink!));
  }
}

for (const version of ["1.3", "1.2"] as const) {
  socketTest(
    `${version}: a client whose address changes is followed, once it was seen there`,
    async () => {
      await using endpoint = await listenDtls({ ...LISTEN, versions: [version] });
      const moving = new MovingUdp();
      const { server, client } = await pair(endpoint, { udp: moving.udp });
      await client.send(bytes("from here"));
      assertEquals(text(await next(server)), "from here");
      assertEquals(endpoint.counters().socket["send-failed"], undefined);
      const before = server.remoteAddress;
      await moving.move();
      await client.send(bytes("from elsewhere"));
      assertEquals(text(await next(server)), "from elsewhere");
      await until("the server has followed", () => server.remoteAddress.port !== before.port);
      await server.send(bytes("to elsewhere"));
      assertEquals(text(await next(client)), "to elsewhere");
      await client.close();
    },
  );
}
