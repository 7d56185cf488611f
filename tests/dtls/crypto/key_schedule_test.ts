// The key schedule against RFC 8448, whose label prefix is TLS 1.3's, with each provider.

import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { concatBytes, EMPTY_BYTES, fromHex, toHex, utf8Bytes } from "../../../src/base/bytes.ts";
import {
  deriveSecret,
  hkdfExpandLabel,
  hkdfExtract,
  TLS13_LABEL_PREFIX,
} from "../../../src/dtls/crypto/hkdf.ts";
import { DestroyedKeyError } from "../../../src/dtls/crypto/key_errors.ts";
import type { CryptoProvider } from "../../../src/dtls/crypto/provider.ts";
import {
  EarlySecret,
  equalSecrets,
  exportKeyingMaterial,
  finishedKey,
  finishedVerifyData,
  nextTrafficSecret,
  resumptionPsk,
  type TrafficKeyParameters,
  trafficKeys,
} from "../../../src/dtls/key_schedule.ts";
import { nodeProvider } from "../../../src/dtls/crypto/node.ts";
import { hmacOf, keyExchangeOf, testEach } from "./providers.ts";
import { RESUMED_TRACE, RETRIED_TRACE, SIMPLE_TRACE, type Trace, TRACES } from "./rfc8448.ts";

function tls13(provider: CryptoProvider): TrafficKeyParameters {
  return { provider, hash: "sha256", aead: "aes-128-gcm", labelPrefix: TLS13_LABEL_PREFIX };
}

function hashOf(provider: CryptoProvider, ...parts: readonly Uint8Array[]): Uint8Array {
  const hash = provider.hash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/** The transcript hash up to and with the last message of a name, RFC 8446 section 4.4.1's message_hash included. */
function transcriptHash(provider: CryptoProvider, trace: Trace, last: string, who = 0): Uint8Array {
  const messages = trace.messages();
  const wanted = messages.filter(({ name }) => name === last)[who];
  assert(wanted !== undefined, `${last} in ${trace.name}`);
  const parts = messages.slice(0, messages.indexOf(wanted) + 1).map(({ bytes }) => bytes);
  if (trace === RETRIED_TRACE) {
    parts[0] = concatBytes(fromHex("fe000020"), hashOf(provider, parts[0]!));
  }
  return hashOf(provider, ...parts);
}

/** The shared secret of a trace, from its private and public keys. */
function sharedSecret(provider: CryptoProvider, trace: Trace): Uint8Array {
  const p256 = trace === RETRIED_TRACE;
  const step = `create an ephemeral ${p256 ? "P-256" : "x25519"} key pair`;
  const group = p256 ? "secp256r1" : "x25519";
  const client = keyExchangeOf(provider, group, trace.value(step, "private key"));
  const server = keyExchangeOf(provider, group, trace.value(step, "private key", 1));
  assertEquals(client.publicKey, trace.value(step, "public key"));
  assertEquals(server.publicKey, trace.value(step, "public key", 1));
  const secret = client.sharedSecret(server.publicKey)!;
  assertEquals(server.sharedSecret(client.publicKey), secret);
  return secret;
}

for (const trace of TRACES) {
  testEach(`RFC 8448 ${trace.name}: every HKDF-Extract`, (provider) => {
    let count = 0;
    for (const { what, values } of trace.steps) {
      if (!what.startsWith("extract secret")) continue;
      const secret = hkdfExtract(provider, "sha256", values.get("salt")!, values.get("IKM")!);
      assertEquals(secret, values.get("secret")!, what);
      count++;
    }
    assertEquals(count, 3);
  });

  testEach(`RFC 8448 ${trace.name}: every labelled expansion`, (provider) => {
    let count = 0;
    for (const { what, values } of trace.steps) {
      const label = /"tls13 (.*)"$/.exec(what)?.[1];
      const info = values.get("info");
      if (label === undefined || info === undefined) continue;
      const [secret, context] = [values.get("PRK")!, values.get("hash")!];
      const expanded = hkdfExpandLabel(provider, "sha256", "tls13 ", secret, label, context, 32);
      assertEquals(expanded, values.get("expanded")!, what);
      count++;
    }
    assert(count >= 11, `${count}`);
  });

  testEach(`RFC 8448 ${trace.name}: the schedule from key shares and messages`, (provider) => {
    const parameters = tls13(provider);
    const expect = (secret: Uint8Array, label: string) =>
      assertEquals(secret, trace.value(`derive secret "tls13 ${label}"`, "expanded"), label);
    const psk = trace === RESUMED_TRACE ? trace.value('extract secret "early"', "IKM") : undefined;

    const early = new EarlySecret(parameters, psk);
    const hello = transcriptHash(provider, trace, "ServerHello", trace === RETRIED_TRACE ? 1 : 0);
    const shared = sharedSecret(provider, trace);
    assertEquals(shared, trace.value('extract secret "handshake"', "IKM"));
    const handshake = early.handshakeSecret(shared);
    expect(handshake.clientHandshakeTrafficSecret(hello), "c hs traffic");
    expect(handshake.serverHandshakeTrafficSecret(hello), "s hs traffic");

    const master = handshake.masterSecret();
    const serverFinished = transcriptHash(provider, trace, "Finished");
    expect(master.clientApplicationTrafficSecret(serverFinished), "c ap traffic");
    expect(master.serverApplicationTrafficSecret(serverFinished), "s ap traffic");
    expect(master.exporterMasterSecret(serverFinished), "exp master");
    const clientFinished = transcriptHash(provider, trace, "Finished", 1);
    expect(master.resumptionMasterSecret(clientFinished), "res master");
  });

  testEach(`RFC 8448 ${trace.name}: every traffic key and IV`, (provider) => {
    let count = 0;
    for (const { what, values } of trace.steps) {
      if (!/^derive (read|write) traffic keys/.test(what)) continue;
      const { key, iv } = trafficKeys(tls13(provider), values.get("PRK")!);
      assertEquals(key, values.get("key expanded")!, what);
      assertEquals(iv, values.get("iv expanded")!, what);
      count++;
    }
    assert(count >= 4, `${count}`);
  });

  testEach(`RFC 8448 ${trace.name}: verify_data of both Finished messages`, (provider) => {
    const parameters = tls13(provider);
    const before = trace === RESUMED_TRACE
      ? ["EncryptedExtensions", "EndOfEarlyData"]
      : ["CertificateVerify", "Finished"];
    for (const [index, last] of before.entries()) {
      const what = 'calculate finished "tls13 finished"';
      const baseKey = trace.value(what, "PRK", index);
      assertEquals(finishedKey(parameters, baseKey), trace.value(what, "expanded", index));
      const transcript = transcriptHash(provider, trace, last);
      const verifyData = finishedVerifyData(parameters, baseKey, transcript);
      assertEquals(verifyData, trace.value(what, "finished", index));
      const message = concatBytes(fromHex("14000020"), verifyData);
      assertEquals(
        trace.messages().filter(({ name }) => name === "Finished")[index]!.bytes,
        message,
      );
    }
  });

  testEach(
    `RFC 8448 ${trace.name}: every record that is sealed opens, and seals again`,
    (provider) => {
      // Who sends next with which keys, and which record number.
      const senders = new Map<string, { secret: Uint8Array; sequence: number }>();
      let count = 0;
      for (const { who, what, values } of trace.steps) {
        const direction = /^derive (read|write) traffic keys/.exec(what)?.[1];
        const other = who === "client" ? "server" : "client";
        if (direction !== undefined) {
          senders.set(direction === "write" ? who : other, {
            secret: values.get("PRK")!,
            sequence: 0,
          });
        }
        const record = values.get("complete record");
        if (record === undefined || record[0] !== 0x17) continue;
        const sender = senders.get(who)!;
        const { key, iv } = trafficKeys(tls13(provider), sender.secret);
        const nonce = iv.slice();
        nonce[11]! ^= sender.sequence++;
        const aead = provider.aead("aes-128-gcm", key);
        const [header, sealed] = [record.subarray(0, 5), record.subarray(5)];
        const opened = aead.open(nonce, header, sealed);
        assert(opened !== undefined, `${who}: ${what}`);
        assertEquals(opened.subarray(0, -1), values.get("payload")!, what);
        const again = new Uint8Array(sealed.length);
        aead.seal(nonce, header, opened, again);
        assertEquals(again, sealed, what);
        aead.destroy();
        count++;
      }
      assert(count >= 4, `${count}`);
    },
  );
}

testEach("RFC 8448 section 4: binder, early traffic secret, early exporter secret", (provider) => {
  const trace = RESUMED_TRACE;
  const parameters = tls13(provider);
  const early = new EarlySecret(parameters, trace.value('extract secret "early"', "IKM"));
  const binderKey = early.binderKey("resumption");
  assertEquals(binderKey, trace.value("calculate PSK binder", "PRK"));
  assertNotEquals(early.binderKey("external"), binderKey);
  const prefixHash = hashOf(provider, trace.value("calculate PSK binder", "ClientHello prefix"));
  assertEquals(prefixHash, trace.value("calculate PSK binder", "binder hash"));
  assertEquals(
    finishedVerifyData(parameters, binderKey, prefixHash),
    trace.value("calculate PSK binder", "finished"),
  );
  const hello = transcriptHash(provider, trace, "ClientHello");
  assertEquals(
    early.clientEarlyTrafficSecret(hello),
    trace.value('derive secret "tls13 c e traffic"', "expanded"),
  );
  assertEquals(
    early.earlyExporterMasterSecret(hello),
    trace.value('derive secret "tls13 e exp master"', "expanded"),
  );
  early.destroy();
});

testEach("RFC 8448 section 3: the ticket's PSK, which section 4 resumes with", (provider) => {
  const what = 'generate resumption secret "tls13 resumption"';
  const resumptionMasterSecret = SIMPLE_TRACE.value(what, "PRK");
  const nonce = SIMPLE_TRACE.value(what, "hash");
  const psk = resumptionPsk(tls13(provider), resumptionMasterSecret, nonce);
  assertEquals(psk, SIMPLE_TRACE.value(what, "expanded"));
  assertEquals(psk, RESUMED_TRACE.value('extract secret "early"', "IKM"));
});

testEach("RFC 8448 sections 3 and 5: CertificateVerify, RSA-PSS", (provider) => {
  if (provider.name === "noble") return; // it has no RSA, which another test holds it to
  for (const trace of [SIMPLE_TRACE, RETRIED_TRACE]) {
    const certificate = trace.value("construct a Certificate handshake message", "Certificate");
    const spkiPrefix = "30819f300d06092a864886f70d010101050003818d00";
    const at = toHex(certificate).indexOf(spkiPrefix) / 2;
    const publicKey = certificate.subarray(at, at + 162);
    const message = trace.value(
      "construct a CertificateVerify handshake message",
      "CertificateVerify",
    );
    const content = concatBytes(
      new Uint8Array(64).fill(0x20),
      utf8Bytes("TLS 1.3, server CertificateVerify\0"),
      transcriptHash(provider, trace, "Certificate"),
    );
    const signature = message.slice(8);
    assert(provider.verify("rsa_pss_rsae_sha256", publicKey, content, signature));
    signature[5]! ^= 1;
    assert(!provider.verify("rsa_pss_rsae_sha256", publicKey, content, signature));
  }
});

// RFC 9147 section 5.9 and the labels that RFC 8448 has no vectors for: the info spelled out, expanded by one HMAC.
function expandOnce(secret: Uint8Array, label: string, context: Uint8Array, lengthBytes: number) {
  const text = utf8Bytes(label);
  const info = concatBytes(
    Uint8Array.of(0, lengthBytes, text.length),
    text,
    Uint8Array.of(context.length),
    context,
    Uint8Array.of(1),
  );
  return hmacOf(nodeProvider, "sha256", secret, info).subarray(0, lengthBytes);
}

testEach(
  'RFC 9147: labels begin with "dtls13" and no space, record number keys have "sn"',
  (provider) => {
    const secret = new Uint8Array(32).fill(9);
    const parameters = { provider, hash: "sha256", aead: "aes-128-gcm" } as const;
    const keys = trafficKeys(parameters, secret);
    assertEquals(keys.key, expandOnce(secret, "dtls13key", EMPTY_BYTES, 16));
    assertEquals(keys.iv, expandOnce(secret, "dtls13iv", EMPTY_BYTES, 12));
    assertEquals(keys.recordNumberKey, expandOnce(secret, "dtls13sn", EMPTY_BYTES, 16));
    assertEquals(
      nextTrafficSecret(parameters, secret),
      expandOnce(secret, "dtls13traffic upd", EMPTY_BYTES, 32),
    );
    const exported = exportKeyingMaterial(parameters, secret, "EXPORTER-x", utf8Bytes("ctx"), 20);
    const derived = expandOnce(secret, "dtls13EXPORTER-x", hashOf(provider), 32);
    const context = hashOf(provider, utf8Bytes("ctx"));
    assertEquals(exported, expandOnce(derived, "dtls13exporter", context, 20));
  },
);

testEach("each cipher suite's keys have the lengths of its AEAD", (provider) => {
  const secret = new Uint8Array(48).fill(3);
  for (const [aead, keyBytes] of [["aes-256-gcm", 32], ["chacha20-poly1305", 32]] as const) {
    const keys = trafficKeys({ provider, hash: "sha384", aead }, secret);
    assertEquals(keys.key.length, keyBytes);
    assertEquals(keys.iv.length, 12);
    assertEquals(keys.recordNumberKey.length, keyBytes);
  }
  const early = new EarlySecret({ provider, hash: "sha384" });
  assertEquals(early.clientEarlyTrafficSecret(new Uint8Array(48)).length, 48);
});

testEach(
  "an exporter without context equals one with an empty context, and labels differ",
  (provider) => {
    const secret = new Uint8Array(32).fill(1);
    const parameters = { provider, hash: "sha256" } as const;
    const exporter = (label: string, context: Uint8Array) =>
      exportKeyingMaterial(parameters, secret, label, context, 32);
    assertNotEquals(exporter("EXPORTER-a", EMPTY_BYTES), exporter("EXPORTER-b", EMPTY_BYTES));
    assertNotEquals(exporter("EXPORTER-a", EMPTY_BYTES), exporter("EXPORTER-a", Uint8Array.of(0)));
    assertThrows(() => exporter("x".repeat(250), EMPTY_BYTES), RangeError);
  },
);

testEach("a phase that was left or destroyed derives nothing more", (provider) => {
  const parameters = tls13(provider);
  const transcript = new Uint8Array(32);
  const early = new EarlySecret(parameters);
  const handshake = early.handshakeSecret(new Uint8Array(32).fill(1));
  assertThrows(() => early.binderKey("external"), DestroyedKeyError);
  assertThrows(() => early.handshakeSecret(), DestroyedKeyError);
  const master = handshake.masterSecret();
  assertThrows(() => handshake.clientHandshakeTrafficSecret(transcript), DestroyedKeyError);
  master.destroy();
  master.destroy();
  assertThrows(() => master.exporterMasterSecret(transcript), DestroyedKeyError);
});

testEach("Derive-Secret takes the hash of messages, not messages", (provider) => {
  const secret = new Uint8Array(32).fill(2);
  const transcript = hashOf(provider, utf8Bytes("messages"));
  assertEquals(
    deriveSecret(provider, "sha256", "dtls13", secret, "c hs traffic", transcript),
    expandOnce(secret, "dtls13c hs traffic", transcript, 32),
  );
});

Deno.test("equalSecrets compares all bytes and lengths", () => {
  assert(equalSecrets(fromHex("0102"), fromHex("0102")));
  assert(!equalSecrets(fromHex("0102"), fromHex("0103")));
  assert(!equalSecrets(fromHex("0102"), fromHex("8102")));
  assert(!equalSecrets(fromHex("0102"), fromHex("010200")));
});
