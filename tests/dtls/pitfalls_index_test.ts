// Every line of the list of what DTLS implementations got wrong, what users complain of and the rules to hold, with the
// test that shows it: no line without one.

import { assert, assertEquals } from "@std/assert";
import { readText, ROOT } from "../architecture/repository.ts";
import { testWith } from "../harness/permissions.ts";

/** A line of the list, the file of the test, and a part of the test's name. */
type Entry = readonly [line: string, file: string, name: string];

const PITFALLS = "pitfalls_test.ts";

/** What others got wrong, in the words of the list. */
const CLASSES: readonly Entry[] = [
  ["replay window moved by an unauthenticated or early-epoch record", PITFALLS, "CVE-2016-2181"],
  ["handshake buffering without a bound", PITFALLS, "CVE-2014-3506, CVE-2022-29189"],
  ["buffering of records of future epochs", PITFALLS, "CVE-2026-54874"],
  ["zero-length fragment loops for ever", PITFALLS, "CVE-2022-29190"],
  ["fragments that disagree on length, underflow, overlap", PITFALLS, "CVE-2026-33845"],
  ["plaintext (epoch 0) application data accepted", PITFALLS, "CVE-2020-24585"],
  ["a record or message that spans a key change", PITFALLS, "CVE-2023-6937"],
  ["a record shorter than its tag kills the association", PITFALLS, "CVE-2026-75806"],
  ["the list of an ACK: truncated integers, before authentication", PITFALLS, "CVE-2026-5264"],
  ["retransmission from a stale offset sends other memory", PITFALLS, "CVE-2026-84782"],
  ["return routability skipped", PITFALLS, "CVE-2022-34293"],
  ["missing or reordered CertificateVerify accepted", PITFALLS, "CVE-2026-55962"],
  ["chain: partial chain", "x509/path_cases.ts", "an intermediate that was not sent"],
  ["chain: missing keyCertSign", "x509/path_cases.ts", "an intermediate without keyCertSign"],
  ["chain: leaf as CA", "x509/path_cases.ts", "a leaf as an issuer"],
  ["chain: wildcard", "x509/name_cases.ts", "dns:a.*.example.com"],
  ["chain: name constraints", "x509/name_cases.ts", "a name that is not permitted"],
  ["credential type that was not negotiated", PITFALLS, "CVE-2026-55960"],
  ["AEAD nonce used twice", PITFALLS, "CVE-2026-26014"],
  ["client random of zeros", PITFALLS, "CVE-2020-11501"],
  ["(EC)DHE dropped from a PSK handshake", "psk_faults_test.ts", "(EC)DHE dropped from a PSK"],
  ["no key_share after HelloRetryRequest", PITFALLS, "CVE-2026-3230"],
  ["duplicate extensions or key shares", PITFALLS, "CVE-2025-11936"],
  ["PSK binder compared in variable time", "psk_faults_test.ts", "CVE-2025-11932"],
  ["resumption not bound to server name and ALPN", "psk_faults_test.ts", "CVE-2026-11703"],
  ["ChangeCipherSpec loop or injection", PITFALLS, "CVE-2020-12457"],
  ["ECDSA r or s zero or out of range", PITFALLS, "CVE-2022-21449"],
  ["an error path leaks a counter or wedges the server", PITFALLS, "CVE-2022-39368"],
  ["connection ID of wrong length or unknown", PITFALLS, "CVE-2022-46393"],
];

/** What users of DTLS stacks complain of. */
const COMPLAINTS: readonly Entry[] = [
  ["one slow handshake blocks accept", "complaints_test.ts", "one slow handshake blocks accept"],
  ["state exhausted before the cookie", "flood_test.ts", "100,000 ClientHellos without a cookie"],
  [
    "a bad cookie ends in a fatal alert",
    "complaints_test.ts",
    "a bad cookie ends in a fatal alert",
  ],
  ["a bad cookie ends in a fatal alert (1.3)", "endpoint_test.ts", "succeeds with a new handshake"],
  [
    "CID negotiated but the peer still looked up by address",
    "endpoint_test.ts",
    "from any address",
  ],
  [
    "a client that restarts on the same address and port",
    "endpoint_test.ts",
    "a client starts anew",
  ],
  ["the last flight lost", "flights_test.ts", "with a retransmit of its ACK"],
  ["a post-quantum ClientHello of two datagrams", "endpoint_test.ts", "post-quantum key shares"],
  ["second ClientHello compared too strictly", "endpoint_test.ts", "what may change may"],
  ["second ClientHello compared too loosely", "endpoint_test.ts", "that is not the first with"],
  ["a fixed 1 s first timeout", "complaints_test.ts", "a fixed 1 s first timeout"],
  ["a first timeout that dominates", "flights_test.ts", "1.5 times the measured round trip time"],
  ["MTU guessed wrong", "flights_test.ts", "back off to a smaller record size"],
  ["errors that say nothing", "complaints_test.ts", "errors that say nothing"],
  ["dead sessions that stay", "complaints_test.ts", "dead sessions that stay"],
  ["dead sessions that stay (SQP)", "../session/session_test.ts", "heartbeats"],
  ["no key log", "complaints_test.ts", "no key log"],
];

/** The rules of RFC 9147 and its revision. */
const RULES: readonly Entry[] = [
  ["three times the bytes to an unvalidated address", "bad_input_test.ts", "three times the bytes"],
  [
    "a client accepts a cookie exchange in every handshake",
    "complaints_test.ts",
    "in every handshake",
  ],
  ["a cookie serves one handshake", "endpoint_test.ts", "only valid for the existing handshake"],
  [
    "first timeout 1,000 ms, doubled, capped at 60 s or more",
    "flights_test.ts",
    "no less than 60 seconds",
  ],
  ["first timeout configurable", "complaints_test.ts", "another one may be chosen"],
  [
    "at most 10 records in one transmission",
    "handshake_shapes_test.ts",
    "at most ten records in one",
  ],
  ["forgery limits 2^36", "record_layer_test.ts", "RFC 9147 section 4.5.3"],
  ["sending epoch at most 2^48-1", "key_update_test.ts", "epochs end at 2^16-1"],
  ["the old association lives until the new one is there", "endpoint_test.ts", "section 5.11"],
];

for (const [line, file, name] of [...CLASSES, ...COMPLAINTS, ...RULES]) {
  testWith({ permissions: [{ name: "read", path: ROOT }] }, `shown by ${file}: ${line}`, () => {
    const text = readText(`tests/dtls/${file}`.replace("dtls/../", ""));
    assert(text.includes(name), `no test of ${file} is called "${name}"`);
  });
}

Deno.test("every line has its tests under its name once", () => {
  const lines = [...CLASSES, ...COMPLAINTS, ...RULES].map(([line]) => line);
  assertEquals(new Set(lines).size, lines.length);
});
