// This library's record layer, key schedule and messages, held to connections of other implementations.

import { assertEquals } from "@std/assert";
import { X509Certificate } from "node:crypto";
import { ByteReader } from "../../src/base/byte_reader.ts";
import { EMPTY_BYTES, fromHex } from "../../src/base/bytes.ts";
import { codePointName } from "../../src/base/code_points.ts";
import { Counters } from "../../src/base/counters.ts";
import { decodeAck } from "../../src/dtls/ack.ts";
import {
  decodeCertificate,
  decodeCertificateVerify,
  decodeEncryptedExtensions,
  signedContent,
} from "../../src/dtls/certificate_messages.ts";
import { signatureName, suiteParameters } from "../../src/dtls/cipher_suites.ts";
import { ContentType, HandshakeType } from "../../src/dtls/code_points.ts";
import { ReceiveConnectionIds } from "../../src/dtls/connection_ids.ts";
import { nodeProvider } from "../../src/dtls/crypto/node.ts";
import { HandshakeAssembler, readHandshakeFragment } from "../../src/dtls/handshake_fragment.ts";
import {
  decodeClientHello,
  decodeServerHello,
  isHelloRetryRequest,
} from "../../src/dtls/hello_messages.ts";
import { finishedVerifyData, trafficKeys } from "../../src/dtls/key_schedule.ts";
import { DTLS_LIMITS } from "../../src/dtls/limits.ts";
import { type DtlsDropReason, RecordLayer } from "../../src/dtls/record_layer.ts";
import { CiphertextOpener } from "../../src/dtls/record_protection_13.ts";
import { Transcript } from "../../src/dtls/transcript.ts";
import { closeAfterTest } from "../harness/dtls_pair.ts";
import { type ForeignCapture, PION_CAPTURE, WOLFSSL_CAPTURE } from "./foreign_captures.ts";

/** The receiver of one direction. */
function receiver(
  capture: ForeignCapture,
  from: "client" | "server",
  drops: Counters<DtlsDropReason>,
) {
  const records = new RecordLayer(DTLS_LIMITS, drops);
  const { aead, hash } = suiteParameters(capture.suite)!;
  const end = from.toUpperCase();
  const labels = { 2: `${end}_HANDSHAKE_TRAFFIC_SECRET`, 3: `${end}_TRAFFIC_SECRET_0` };
  for (const epoch of [2, 3] as const) {
    const secret = fromHex(capture.secrets[labels[epoch]]!);
    const { key, iv, recordNumberKey } = trafficKeys(
      { provider: nodeProvider, aead, hash },
      secret,
    );
    const numberCipher = nodeProvider.recordNumberCipher(aead, recordNumberKey);
    const keys = { aead: nodeProvider.aead(aead, key), numberCipher, iv };
    records.addOpener(new CiphertextOpener(epoch, keys, 64));
  }
  closeAfterTest({ close: () => records.destroy() });
  return records;
}

/** The ID that one end's protected records carry. */
function connectionIdOf(capture: ForeignCapture, from: "client" | "server"): Uint8Array {
  for (const [sender, hex] of capture.datagrams) {
    const bytes = fromHex(hex);
    if (sender === from && (bytes[0]! & 0xf0) === 0x30) {
      return bytes.slice(1, 1 + capture.connectionIdBytes);
    }
  }
  return EMPTY_BYTES;
}

for (const capture of [WOLFSSL_CAPTURE, PION_CAPTURE]) {
  Deno.test(`a whole connection of ${capture.name} opens, and what it proves is proved`, () => {
    const drops = new Counters<DtlsDropReason>();
    const suite = suiteParameters(capture.suite)!;
    const transcript = new Transcript(nodeProvider);
    const parameters = { provider: nodeProvider, hash: suite.hash };
    const secret = (end: string) =>
      fromHex(capture.secrets[`${end.toUpperCase()}_HANDSHAKE_TRAFFIC_SECRET`]!);
    const ends = {
      client: {
        records: receiver(capture, "client", drops),
        assembler: new HandshakeAssembler(DTLS_LIMITS),
      },
      server: {
        records: receiver(capture, "server", drops),
        assembler: new HandshakeAssembler(DTLS_LIMITS),
      },
    };
    for (const from of ["client", "server"] as const) {
      ends[from].records.beginConnectionIds(
        new ReceiveConnectionIds(connectionIdOf(capture, from), undefined, 1),
        new Uint8Array(0),
      );
    }
    const seen: string[] = [];
    let publicKey = EMPTY_BYTES;

    const onMessage = (from: "client" | "server", type: number, body: Uint8Array) => {
      seen.push(`${from} ${codePointName(HandshakeType, type)}`);
      if (type === HandshakeType.CLIENT_HELLO) decodeClientHello(body);
      if (type === HandshakeType.SERVER_HELLO) {
        transcript.start(suite.hash);
        if (isHelloRetryRequest(decodeServerHello(body))) transcript.replaceByHash(suite.hash);
      }
      if (type === HandshakeType.ENCRYPTED_EXTENSIONS) decodeEncryptedExtensions(body);
      if (type === HandshakeType.CERTIFICATE) {
        const leaf = new X509Certificate(decodeCertificate(body, 8).chain[0]!);
        publicKey = new Uint8Array(leaf.publicKey.export({ type: "spki", format: "der" }));
      }
      if (type === HandshakeType.CERTIFICATE_VERIFY) {
        const { scheme, signature } = decodeCertificateVerify(body);
        const content = signedContent(from, transcript.digest());
        assertEquals(
          nodeProvider.verify(signatureName(scheme)!, publicKey, content, signature),
          true,
        );
      }
      if (type === HandshakeType.FINISHED) {
        assertEquals(body, finishedVerifyData(parameters, secret(from), transcript.digest()));
      }
      transcript.add({ type, messageSeq: 0, body });
    };

    for (const [from, hex] of capture.datagrams) {
      const { records, assembler } = ends[from];
      records.openDatagram(fromHex(hex), 0, (record) => {
        if (record.type === ContentType.ACK) {
          seen.push(`${from} ACK of ${decodeAck(record.content).length}`);
        } else if (record.type === ContentType.HANDSHAKE) {
          const reader = new ByteReader(record.content);
          while (reader.remaining > 0) assembler.add(readHandshakeFragment(reader), record.epoch);
          for (let message; (message = assembler.take()) !== undefined;) {
            onMessage(from, message.type, message.body);
          }
        } else {
          seen.push(`${from} ${codePointName(ContentType, record.type)} ${record.content.length}`);
        }
      });
    }
    assertEquals(drops.total(), 0);
    assertEquals(seen, [
      "client CLIENT_HELLO",
      "server SERVER_HELLO",
      "client CLIENT_HELLO",
      "server SERVER_HELLO",
      "server ENCRYPTED_EXTENSIONS",
      "server CERTIFICATE",
      "server CERTIFICATE_VERIFY",
      "server FINISHED",
      "client FINISHED",
      "server ACK of 1",
      "server NEW_SESSION_TICKET",
      ...(capture === PION_CAPTURE
        ? ["client ACK of 1", "client APPLICATION_DATA 32"]
        : ["client APPLICATION_DATA 32", "client ACK of 1"]),
      "server APPLICATION_DATA 37",
      "client ALERT 2",
      "server ALERT 2",
    ]);
  });
}
