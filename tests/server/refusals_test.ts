// Who is not let in, over sockets: each with its own error or alert, and nothing parsed but the HandshakeRequest.

import { assert, assertEquals, assertInstanceOf, assertMatch } from "@std/assert";
import { codePointName } from "../../src/base/code_points.ts";
import type { ConnectOptions, SqpError } from "../../src/client/mod.ts";
import { AlertDescription } from "../../src/dtls/code_points.ts";
import { fastestProvider } from "../../src/dtls/crypto/composed.ts";
import { DtlsAlertError } from "../../src/dtls/errors.ts";
import { certificatesFromPem, privateKeyFromPem } from "../../src/dtls/x509/mod.ts";
import { readAuthorityCrl, writeCrl } from "../../src/server/certificate_directory.ts";
import { readTokenSigningKey } from "../../src/server/token_files.ts";
import { issueToken, type IssueTokenOptions } from "../../src/server/token_issuer.ts";
import { makeTokenKeyPair, tokenSigningKeyFromPem } from "../../src/server/token_keys.ts";
import { authorityOf, clientOptions, DAY_MS, strangeAuthority } from "../harness/issued.ts";
import { LiveServer, liveTest, until } from "../harness/live_server.ts";
import { refusalOf, runRawClient } from "../harness/raw_client.ts";

/** The name of the alert that an error tells of. */
function alertOf({ codeName, cause }: SqpError): string {
  assertEquals(codeName, "secure_channel_failed");
  assertInstanceOf(cause, DtlsAlertError);
  return codePointName(AlertDescription, cause.description).toLowerCase();
}

/** No session, no frame, no command: nobody was let in since `before`. */
function assertNothingParsed(server: LiveServer): void {
  const { endpoint, engine, transportDrops } = server.server.counters();
  assertEquals(endpoint!["admitted"] ?? 0, 0);
  assertEquals(engine!["executed"] ?? 0, 0);
  assertEquals(transportDrops, {});
}

liveTest(
  "clients whose certificate is refused get the alert that says why, and no frame of theirs is parsed",
  async (context) => {
    await using server = await LiveServer.start();
    const { url } = server;
    const { ca, key, cert } = server.options as Required<ConnectOptions>;
    const authority = await authorityOf(server);
    const now = Date.now();
    const old = await clientOptions(authority, { now: now - 10 * DAY_MS });
    const future = await clientOptions(authority, { now: now + 10 * DAY_MS, days: 20 });
    const strange = await clientOptions(await strangeAuthority());
    const read = (name: string) => Deno.readTextFileSync(`${server.folder}/certs/${name}`);
    const withoutClientAuth = { cert: read("server.pem"), key: read("server.key") };
    const failures = () => server.server.counters()["handshakeFailures"]!;

    const cases: readonly (readonly [string, Partial<ConnectOptions>, string, string])[] = [
      ["no certificate", {}, "certificate_required", "certificate-required"],
      ["of another CA", strange, "unknown_ca", "unknown-ca"],
      ["expired", old, "certificate_expired", "certificate-expired"],
      ["not yet valid", future, "certificate_expired", "certificate-expired"],
      [
        "without clientAuth",
        withoutClientAuth,
        "unsupported_certificate",
        "unsupported-certificate",
      ],
    ];
    for (const [name, options, alert, reason] of cases) {
      await context.step(name, async () => {
        const before = failures()[reason] ?? 0;
        assertEquals(alertOf(await refusalOf(url, { ca, ...options })), alert);
        await until("it is counted", () => failures()[reason] === before + 1);
        const line = server.log.findLast(({ message }) => message === "handshake failed");
        assertEquals(line?.fields["reason"], reason);
      });
    }

    await context.step("with a key that is not the certificate's", async () => {
      const { pkcs8 } = privateKeyFromPem(strange.key);
      const credential = {
        chain: certificatesFromPem(cert),
        key: fastestProvider().signingKey(pkcs8),
      };
      const events = await runRawClient(server.port, {
        ca,
        cert,
        key,
        dtls: { credentials: [credential] },
      });
      const [ended] = events.filter((event) => event.kind === "ended");
      assertEquals(alertOf(ended!.error), "decrypt_error");
      await until("it is counted", () => failures()["bad-signature"] === 1);
    });

    await context.step("revoked while the server runs", async () => {
      const { issued, ...options } = await clientOptions(authority, { commonName: "soon revoked" });
      const previous = await readAuthorityCrl(`${server.folder}/certs`, authority.certificate);
      await writeCrl(`${server.folder}/certs`, authority, {
        previous,
        revocations: [{ serialNumber: issued.certificate.serialNumber, revokedAt: now, reason: 1 }],
        days: 30,
        now,
      });
      await until(
        "the server has read the list",
        () => server.log.some(({ message }) => message === "certificates read again"),
      );
      assertEquals(alertOf(await refusalOf(url, { ca, ...options })), "certificate_revoked");
      await until("it is counted", () => failures()["certificate-revoked"] === 1);
    });

    assertNothingParsed(server);

    await context.step(
      "the client itself refuses a server of another CA, or for another name",
      async () => {
        const otherCa = await refusalOf(url, { ca: read("client.pem"), cert, key });
        assertEquals(otherCa.codeName, "server_not_trusted");
        const otherName = await refusalOf(url, { ca, cert, key, serverName: "db.example" });
        assertEquals(otherName.codeName, "server_not_trusted");
        assertMatch(otherName.message, /db\.example/);
        await until(
          "the server has heard why",
          () => Object.keys(failures()).some((reason) => reason.startsWith("alert-")),
        );
        assertNothingParsed(server);
        await using client = await server.connect({ serverName: "localhost" });
        assertEquals((await client.execute("select 1")).rows, [[1]]);
      },
    );
  },
);

liveTest(
  "clients whose token is refused get the error that says why, and no frame of theirs is parsed",
  async (context) => {
    await using server = await LiveServer.start({ policy: "any" });
    const { ca, cert, key } = server.options as Required<ConnectOptions>;
    const now = Date.now();
    const good: IssueTokenOptions = {
      key: await readTokenSigningKey(`${server.folder}/certs/token.key`),
      issuer: "sqp-development",
      audience: "sqp",
      subject: "somebody",
      permissions: ["read"],
      lifetimeMs: 3_600_000,
      now,
    };
    const { privateKeyPem } = await makeTokenKeyPair("EdDSA");
    const strangeKey = await tokenSigningKeyFromPem(privateKeyPem);
    const token = await issueToken(good);
    const [header, claims, signature] = token.split(".") as [string, string, string];
    const forged = `${signature.startsWith("A") ? "B" : "A"}${signature.slice(1)}`;
    const cases: readonly (readonly [string, string])[] = [
      ["no token", "token_malformed"],
      [`${header}.${claims}.${forged}`, "token_bad_signature"],
      [
        await issueToken({ ...good, key: { ...strangeKey, keyId: good.key.keyId } }),
        "token_bad_signature",
      ],
      [await issueToken({ ...good, key: strangeKey }), "token_unknown_key"],
      [await issueToken({ ...good, issuer: "somebody-else" }), "token_wrong_issuer"],
      [await issueToken({ ...good, audience: "another-service" }), "token_wrong_audience"],
      [await issueToken({ ...good, now: now - 2 * 3_600_000 }), "token_expired"],
      [await issueToken({ ...good, now: now + 3_600_000 }), "token_not_yet_valid"],
      [await issueToken({ ...good, lifetimeMs: 30 * DAY_MS }), "token_claim_refused"],
      [await issueToken({ ...good, certificateSha256: new Uint8Array(32) }), "token_not_bound"],
    ];
    const refused = () => server.server.counters()["endpoint"]!["refused"] ?? 0;
    for (const [wrong, codeName] of cases) {
      await context.step(codeName, async () => {
        const before = refused();
        const error = await refusalOf(server.url, { ca, token: wrong });
        assertEquals(error.codeName, codeName);
        assertEquals(refused(), before + 1);
        assertEquals(
          server.log.findLast(({ message }) => message === "client refused")?.fields["error"],
          codeName,
        );
        // Nothing of the token but what was wrong with it.
        assert(!JSON.stringify(server.log).includes(wrong.slice(0, 30)));
      });
    }
    await context.step("no credential at all", async () => {
      assertEquals((await refusalOf(server.url, { ca })).codeName, "no_credential");
    });

    const queries = Array.from({ length: 6 }, (_, i) => `create table early${i} (v)`);
    await context.step("queries that came with a refused token are erased unparsed", async () => {
      const events = await runRawClient(server.port, {
        ca,
        token: cases[1]![0],
        earlyQueries: queries,
      });
      const ended = events.filter((event) => event.kind === "ended");
      assertEquals(ended.map(({ error }) => error.codeName), ["token_bad_signature"]);
      const failed = events.filter((event) => event.kind === "failed");
      assertEquals(failed.length, queries.length);
      assertNothingParsed(server);
    });

    await context.step("queries that came with a good token are answered", async () => {
      const mayWrite = await issueToken({ ...good, permissions: ["read", "write", "schema"] });
      const events = await runRawClient(
        server.port,
        { ca, token: mayWrite, earlyQueries: queries },
        (events) => events.filter(({ kind }) => kind === "response").length === queries.length,
      );
      assertEquals(events[0]!.kind, "ready");
    });

    await context.step("what a token permits binds in the engine", async () => {
      await using client = await server.connect({ token });
      assertEquals(client.server.principal, "token:sqp-development/somebody");
      assertEquals(client.server.permissions, ["read"]);
      assertEquals((await client.execute("select count(*) from early0")).rows, [[0]]);
      const error = await client.execute("insert into early0 values (1)").catch((error) => error);
      assertEquals(error.codeName, "permission_denied");
    });

    await context.step("a kind of credential that is not accepted", async () => {
      await using certificates = await LiveServer.start();
      const own = certificates.options;
      const byToken = await refusalOf(certificates.url, { ...own, token });
      assertEquals(byToken.codeName, "credential_kind_refused");
      await using tokens = await LiveServer.start({
        policy: "token",
        certificates: `${server.folder}/certs`,
      });
      const byCertificate = await refusalOf(tokens.url, { ca, cert, key });
      assertEquals(byCertificate.codeName, "credential_kind_refused");
      assertNothingParsed(certificates);
      assertNothingParsed(tokens);
    });
  },
);
