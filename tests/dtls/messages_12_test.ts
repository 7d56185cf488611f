// The messages of DTLS 1.2, byte for byte, and cut short at every byte.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { ByteReader, DecodeError } from "../../src/base/byte_reader.ts";
import { fromHex, toHex } from "../../src/base/bytes.ts";
import { DtlsFault } from "../../src/dtls/errors.ts";
import {
  certificateTypeOf,
  decodeCertificate12,
  decodeCertificateRequest12,
  decodeClientKeyExchange,
  decodeHelloVerifyRequest,
  decodeNewSessionTicket12,
  decodeServerKeyExchange,
  encodeCertificate12,
  encodeCertificateRequest12,
  encodeClientKeyExchange,
  encodeHelloVerifyRequest,
  encodeNewSessionTicket12,
  encodeServerKeyExchange,
  encodeServerParameters,
  hasDowngradeSentinel,
  readPointFormats,
  readRenegotiationInfo,
  setDowngradeSentinel,
  signedKeyExchange,
} from "../../src/dtls/handshake_messages_12.ts";

const COOKIE = fromHex("c00c1e");
const POINT = fromHex("aabb");
const PROOF = { scheme: 0x0403, signature: fromHex("5167") };

interface Form {
  readonly name: string;
  readonly hex: string;
  readonly encode: () => Uint8Array;
  readonly decode: (body: Uint8Array) => unknown;
  readonly value: unknown;
}

const FORMS: readonly Form[] = [
  {
    name: "HelloVerifyRequest, whose version is DTLS 1.0's whatever comes",
    hex: "feff03c00c1e",
    encode: () => encodeHelloVerifyRequest(COOKIE),
    decode: decodeHelloVerifyRequest,
    value: COOKIE,
  },
  {
    name: "Certificate",
    hex: "000009" + "000001aa" + "000002bbcc",
    encode: () => encodeCertificate12([fromHex("aa"), fromHex("bbcc")]),
    decode: (body) => decodeCertificate12(body, 2),
    value: [fromHex("aa"), fromHex("bbcc")],
  },
  {
    name: "ServerKeyExchange",
    hex: "03001d02aabb" + "040300025167",
    encode: () =>
      encodeServerKeyExchange(encodeServerParameters({ group: 0x1d, publicKey: POINT }), PROOF),
    decode: decodeServerKeyExchange,
    value: {
      share: { group: 0x1d, publicKey: POINT },
      parameters: fromHex("03001d02aabb"),
      proof: PROOF,
    },
  },
  {
    name: "ClientKeyExchange",
    hex: "02aabb",
    encode: () => encodeClientKeyExchange(POINT),
    decode: decodeClientKeyExchange,
    value: POINT,
  },
  {
    name: "CertificateRequest",
    hex: "024001" + "000408070403" + "0007" + "0001aa" + "0002bbcc",
    encode: () =>
      encodeCertificateRequest12({
        certificateTypes: [64, 1],
        signatureSchemes: [0x0807, 0x0403],
        authorities: [fromHex("aa"), fromHex("bbcc")],
      }),
    decode: decodeCertificateRequest12,
    value: {
      certificateTypes: [64, 1],
      signatureSchemes: [0x0807, 0x0403],
      authorities: [fromHex("aa"), fromHex("bbcc")],
    },
  },
  {
    name: "NewSessionTicket",
    hex: "00001c20" + "0002aabb",
    encode: () => encodeNewSessionTicket12({ lifetimeSeconds: 7_200, ticket: POINT }),
    decode: decodeNewSessionTicket12,
    value: { lifetimeSeconds: 7_200, ticket: POINT },
  },
];

for (const { name, hex, encode, decode, value } of FORMS) {
  Deno.test(`${name} has the form of its RFC`, () => {
    assertEquals(toHex(encode()), hex);
    assertEquals(decode(fromHex(hex)), value);
  });

  Deno.test(`${name} cut short, or with a byte after it, is a decode error`, () => {
    const bytes = fromHex(hex);
    for (let end = 0; end < bytes.length; end++) {
      assertThrows(() => decode(bytes.subarray(0, end)), DecodeError, undefined, `${end} bytes`);
    }
    assertThrows(() => decode(fromHex(hex + "00")), DecodeError);
  });
}

Deno.test("a chain of more certificates than the limit is refused", () => {
  const body = encodeCertificate12([POINT, POINT, POINT]);
  assertEquals(
    assertThrows(() => decodeCertificate12(body, 2), DtlsFault).reason,
    "bad-certificate",
  );
});

Deno.test("a curve that has no name is refused", () => {
  const body = fromHex("01001d02aabb040300025167");
  const fault = assertThrows(() => decodeServerKeyExchange(body), DtlsFault);
  assertEquals(fault.reason, "illegal-parameter");
});

Deno.test("a ServerKeyExchange signs both random values and the parameters", () => {
  assertEquals(toHex(signedKeyExchange(fromHex("01"), fromHex("02"), fromHex("03"))), "010203");
});

Deno.test("Ed25519 is under ecdsa_sign, RSA-PSS under rsa_sign (RFC 8422 section 5.5)", () => {
  const schemes = [0x0403, 0x0503, 0x0807, 0x0401, 0x0601, 0x0804, 0x0806];
  assertEquals(schemes.map(certificateTypeOf), [64, 64, 64, 1, 1, 1, 1]);
});

Deno.test("renegotiation_info that is not empty is a handshake failure", () => {
  assert(readRenegotiationInfo(new ByteReader(fromHex("00"))));
  const read = () => readRenegotiationInfo(new ByteReader(fromHex("01aa")));
  assertEquals(assertThrows(read, DtlsFault).reason, "no-common-parameters");
});

Deno.test("ec_point_formats without uncompressed points is refused", () => {
  assert(readPointFormats(new ByteReader(fromHex("020100"))));
  const read = () => readPointFormats(new ByteReader(fromHex("0101")));
  assertEquals(assertThrows(read, DtlsFault).reason, "illegal-parameter");
});

Deno.test("RFC 8446 section 4.1.3: the sentinel is in the last eight bytes of the random value", () => {
  const random = new Uint8Array(32).fill(0x5a);
  assert(!hasDowngradeSentinel(random));
  setDowngradeSentinel(random);
  assertEquals(toHex(random), "5a".repeat(24) + "444f574e47524401");
  assert(hasDowngradeSentinel(random));
  random[31] = 0;
  assert(hasDowngradeSentinel(random));
  random[31] = 2;
  assert(!hasDowngradeSentinel(random));
});
