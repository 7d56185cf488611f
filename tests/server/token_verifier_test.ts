// Tokens: what is accepted, and every way of being refused, each with its own reason.

import { assertEquals, assertRejects } from "@std/assert";
import { CompactSign, exportJWK, generateKeyPair, SignJWT } from "jose";
import * as fc from "fast-check";
import { pemText } from "../../src/dtls/x509/mod.ts";
import { issueToken } from "../../src/server/token_issuer.ts";
import {
  makeTokenKeyPair,
  type TokenAlgorithm,
  type TokenKey,
  tokenKeysFromPem,
  tokenSigningKeyFromPem,
} from "../../src/server/token_keys.ts";
import { verifyProof } from "../../src/server/token_proof.ts";
import {
  type TokenBinding,
  TokenFault,
  type TokenPolicy,
  verifyToken,
  verifyTokenClaims,
} from "../../src/server/token_verifier.ts";

const NOW = Date.UTC(2026, 5, 1);
const NOW_S = NOW / 1000;
const ISSUER = "https://issuer.example";
const AUDIENCE = "sqp://db.example";

interface Pair {
  readonly verifying: TokenKey;
  readonly signing: TokenKey;
}

async function makePair(algorithm: TokenAlgorithm = "EdDSA"): Promise<Pair> {
  const { publicKeyPem, privateKeyPem } = await makeTokenKeyPair(algorithm);
  const signing = await tokenSigningKeyFromPem(privateKeyPem);
  return { verifying: (await tokenKeysFromPem(publicKeyPem))[0]!, signing };
}

const pairs = new Map<TokenAlgorithm, Promise<Pair>>();

function pairOf(algorithm: TokenAlgorithm = "EdDSA"): Promise<Pair> {
  const made = pairs.get(algorithm) ?? makePair(algorithm);
  pairs.set(algorithm, made);
  return made;
}

const CLAIMS = { iss: ISSUER, aud: AUDIENCE, sub: "alice", iat: NOW_S, exp: NOW_S + 600 };

/** Signs claims as they are, `undefined` left out. */
async function sign(
  claims: Record<string, unknown>,
  header: Record<string, unknown> = {},
  algorithm: TokenAlgorithm = "EdDSA",
): Promise<string> {
  const { signing } = await pairOf(algorithm);
  const payload = new TextEncoder().encode(JSON.stringify({ ...CLAIMS, ...claims }));
  return await new CompactSign(payload)
    .setProtectedHeader({ alg: algorithm, kid: signing.keyId, ...header })
    .sign(signing.key);
}

async function policy(more: Partial<TokenPolicy> = {}): Promise<TokenPolicy> {
  const keys = [(await pairOf("ES256")).verifying, (await pairOf("EdDSA")).verifying];
  return { keys, issuer: ISSUER, audience: AUDIENCE, now: NOW, ...more };
}

async function reasonOf(
  token: string,
  more: Partial<TokenPolicy> & { readonly binding?: TokenBinding } = {},
): Promise<string> {
  const options = { ...await policy(more), ...(more.binding && { binding: more.binding }) };
  return (await assertRejects(() => verifyToken(token, options), TokenFault)).reason;
}

for (const algorithm of ["EdDSA", "ES256"] as const) {
  Deno.test(`${algorithm}: a token that was issued is verified`, async () => {
    const token = await issueToken({
      key: (await pairOf(algorithm)).signing,
      issuer: ISSUER,
      audience: AUDIENCE,
      subject: "fleet/device 7",
      permissions: ["read", "subscribe"],
      lifetimeMs: 60_000,
      now: NOW + 999,
    });
    const { principal, permissions, expiresAt, confirmation } = await verifyToken(
      token,
      await policy({ now: NOW + 1_000 }),
    );
    assertEquals(principal, "token:https://issuer.example/fleet%2Fdevice%207");
    assertEquals(permissions, ["read", "subscribe"]);
    assertEquals([expiresAt, confirmation], [NOW + 60_000, undefined]);
  });
}

const CLAIM_FAULTS: readonly (readonly [string, Record<string, unknown>, string])[] = [
  ["another issuer", { iss: "https://issuer.example/" }, "wrong-issuer"],
  ["no issuer", { iss: undefined }, "wrong-issuer"],
  ["another audience", { aud: "sqp://other.example" }, "wrong-audience"],
  ["no audience", { aud: undefined }, "wrong-audience"],
  ["other audiences", { aud: ["a", "b"] }, "wrong-audience"],
  ["expired", { iat: NOW_S - 600, exp: NOW_S - 31 }, "expired"],
  ["nbf is to come", { nbf: NOW_S + 31 }, "not-yet-valid"],
  ["iat is to come", { iat: NOW_S + 31 }, "not-yet-valid"],
  ["no exp", { exp: undefined }, "claim-refused"],
  ["iat is a text", { iat: "now" }, "claim-refused"],
  ["valid for too long from now", { iat: undefined, exp: NOW_S + 86_401 }, "claim-refused"],
  ["exp is a text", { exp: "tomorrow" }, "claim-refused"],
  ["exp is absurd", { exp: 1e300 }, "claim-refused"],
  ["nbf is a text", { nbf: "now" }, "claim-refused"],
  ["valid for too long", { exp: NOW_S + 86_401 }, "claim-refused"],
  ["no sub", { sub: undefined }, "claim-refused"],
  ["an empty sub", { sub: "" }, "claim-refused"],
  ["sub is a number", { sub: 7 }, "claim-refused"],
  ["a long sub", { sub: "x".repeat(129) }, "claim-refused"],
  ["sub with half a character", { sub: "\ud800" }, "claim-refused"],
  ["permissions is a text", { permissions: "read" }, "claim-refused"],
  ["permissions of numbers", { permissions: [1] }, "claim-refused"],
  ["scope is a list", { scope: ["read"] }, "claim-refused"],
  ["cnf is a text", { cnf: "x" }, "claim-refused"],
  ["cnf of an unknown kind", { cnf: { kid: "x" } }, "not-bound"],
  ["cnf with a short fingerprint", { cnf: { "x5t#S256": "AAAA" } }, "claim-refused"],
];

for (const [title, claims, reason] of CLAIM_FAULTS) {
  Deno.test(`a token is refused: ${title}: ${reason}`, async () => {
    assertEquals(await reasonOf(await sign(claims)), reason);
  });
}

Deno.test("clocks may be 30 s apart, and a lifetime is exactly bounded", async () => {
  const options = await policy();
  for (
    const claims of [
      { iat: NOW_S - 600, exp: NOW_S - 29 },
      { nbf: NOW_S + 30 },
      { iat: NOW_S + 30 },
      { exp: NOW_S + 86_400 },
      { iat: undefined, exp: NOW_S + 86_400 },
      { aud: ["x", AUDIENCE] },
    ]
  ) {
    await verifyToken(await sign(claims), options);
  }
});

Deno.test("a changed token, or one of another key, is refused: bad-signature", async () => {
  const [header, , signature] = (await sign({})).split(".");
  const other = btoa(JSON.stringify({ ...CLAIMS, sub: "admin" })).replace(/=+$/, "");
  assertEquals(await reasonOf(`${header}.${other}.${signature}`), "bad-signature");
  const { signing } = await pairOf();
  const stranger = await makePair();
  const forged = await issueToken({
    key: { ...stranger.signing, keyId: signing.keyId },
    issuer: ISSUER,
    audience: AUDIENCE,
    subject: "alice",
    permissions: ["admin"],
    lifetimeMs: 60_000,
    now: NOW,
  });
  assertEquals(await reasonOf(forged), "bad-signature");
});

Deno.test("a key that nobody named is refused: unknown-key", async () => {
  assertEquals(await reasonOf(await sign({}, { kid: "nobody's" })), "unknown-key");
  assertEquals(await reasonOf(await sign({}, { kid: 7 })), "unknown-key");
  assertEquals(await reasonOf(await sign({}), { keys: [] }), "unknown-key");
});

Deno.test("without a key id it is the one key of its algorithm, and keys are not tried in turn", async () => {
  const token = await sign({}, { kid: undefined });
  await verifyToken(token, await policy());
  const { verifying } = await pairOf();
  const keys = [verifying, (await makePair()).verifying];
  assertEquals(await reasonOf(token, { keys }), "unknown-key");
  assertEquals(await reasonOf(token, { keys: [(await pairOf("ES256")).verifying] }), "unknown-key");
});

Deno.test("alg is never taken from the token alone", async () => {
  const [, payload] = (await sign({})).split(".");
  const { verifying } = await pairOf();
  const headerOf = (alg: string) =>
    btoa(JSON.stringify({ alg, kid: verifying.keyId })).replace(/=+$/, "");
  assertEquals(await reasonOf(`${headerOf("none")}.${payload}.`), "malformed");
  assertEquals(await reasonOf(`${headerOf("HS256")}.${payload}.AAAA`), "malformed");
  assertEquals(await reasonOf(`${headerOf("ES256")}.${payload}.AAAA`), "bad-signature");
  const { privateKey } = await generateKeyPair("RS256");
  const rsa = await new SignJWT(CLAIMS)
    .setProtectedHeader({ alg: "RS256", kid: verifying.keyId })
    .sign(privateKey);
  assertEquals(await reasonOf(rsa), "malformed");
  // The public key as an HMAC secret, the classical confusion.
  const secret = new TextEncoder().encode(JSON.stringify(await exportJWK(verifying.key)));
  const hmac = await new SignJWT(CLAIMS)
    .setProtectedHeader({ alg: "HS256", kid: verifying.keyId })
    .sign(secret);
  assertEquals(await reasonOf(hmac), "malformed");
});

Deno.test("a header extension that must be understood is refused", async () => {
  const { signing } = await pairOf();
  const token = await new CompactSign(new TextEncoder().encode(JSON.stringify(CLAIMS)))
    .setProtectedHeader({ alg: "EdDSA", kid: signing.keyId, crit: ["x"], x: 1 })
    .sign(signing.key, { crit: { x: true } });
  assertEquals(await reasonOf(token), "malformed");
});

Deno.test("what is no token, or too long, is malformed, and nothing else is thrown", async () => {
  const token = await sign({});
  const long = await sign({ padding: "x".repeat(7_000) });
  assertEquals(await reasonOf(long), "malformed");
  await verifyToken(long, await policy({ limits: { tokenLengthMax: 10_000 } }));
  const options = await policy();
  const texts = fc.oneof(
    fc.string(),
    fc.nat(token.length - 1).map((length) => token.slice(0, length)),
    fc.tuple(fc.nat(token.length - 1), fc.string({ minLength: 1, maxLength: 1 }))
      .filter(([at, letter]) => token[at] !== letter)
      .map(([at, letter]) => token.slice(0, at) + letter + token.slice(at + 1)),
  );
  await fc.assert(
    fc.asyncProperty(texts, async (text) => {
      // The last letter of the signature has bits that no byte has: jose reads four letters as one.
      if (text.slice(0, -1) === token.slice(0, -1)) return;
      await assertRejects(() => verifyToken(text, options), TokenFault);
    }),
    { seed: 7519, numRuns: 500 },
  );
});

Deno.test("permissions: what is named and known; both claims only what both name", async () => {
  const options = await policy();
  const cases: [Record<string, unknown>, string[]][] = [
    [{}, []],
    [{ permissions: [] }, []],
    [{ permissions: ["write", "read", "openid", "READ"] }, ["read", "write"]],
    [{ scope: "openid schema  admin" }, ["schema", "admin"]],
    [{ permissions: ["read", "admin"], scope: "read subscribe" }, ["read"]],
    [{ permissions: ["read"], scope: "" }, []],
  ];
  for (const [claims, expected] of cases) {
    const { permissions } = await verifyToken(await sign(claims), options);
    assertEquals<readonly string[]>(permissions, expected);
  }
});

const base64url = (bytes: Uint8Array) =>
  bytes.toBase64({ alphabet: "base64url", omitPadding: true });

Deno.test("x5t#S256: only the certificate's own association presents the token", async () => {
  const certificateSha256 = new Uint8Array(32).fill(7);
  const token = await sign({ cnf: { "x5t#S256": base64url(certificateSha256) } });
  const options = await policy();
  const verified = await verifyToken(token, { ...options, binding: { certificateSha256 } });
  assertEquals(verified.confirmation, { certificateSha256 });
  assertEquals(await reasonOf(token), "not-bound");
  const binding = { certificateSha256: new Uint8Array(32) };
  assertEquals(await reasonOf(token, { binding }), "not-bound");
  assertEquals((await verifyTokenClaims(token, options)).principal, verified.principal);
});

/** A key that a client holds, its thumbprint and its proof over an exporter value. */
async function clientKey(algorithm: TokenAlgorithm, exporter: Uint8Array<ArrayBuffer>) {
  const parameters = algorithm === "EdDSA"
    ? { name: "Ed25519" }
    : { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const usages: KeyUsage[] = ["sign", "verify"];
  const pair = await crypto.subtle.generateKey(parameters, true, usages) as CryptoKeyPair;
  const jwk = await exportJWK(pair.publicKey);
  const spki = new Uint8Array(await crypto.subtle.exportKey("spki", pair.publicKey));
  const [{ keyId }] = await tokenKeysFromPem(pemText("PUBLIC KEY", spki)) as [TokenKey];
  const signed = await crypto.subtle.sign(parameters, pair.privateKey, exporter);
  return { pair, jwk, keyThumbprint: keyId, signature: new Uint8Array(signed) };
}

for (const algorithm of ["EdDSA", "ES256"] as const) {
  Deno.test(`jkt: an ${algorithm} key is shown by its signature over the exporter`, async () => {
    const exporter = new Uint8Array(32).fill(9);
    const { pair, jwk, keyThumbprint, signature } = await clientKey(algorithm, exporter);
    const key = JSON.stringify(jwk);
    const token = await sign({ cnf: { jkt: keyThumbprint } });
    const proof = { key, signature };
    const options = await policy();
    await verifyToken(token, { ...options, binding: { exporter, proof } });
    const other = await clientKey(algorithm, exporter);
    const privateKey = JSON.stringify(await exportJWK(pair.privateKey));
    const wrong: TokenBinding[] = [
      {},
      { exporter },
      { proof },
      { exporter: new Uint8Array(32), proof },
      { exporter, proof: { key, signature: signature.toReversed() } },
      { exporter, proof: { key, signature: new Uint8Array(64) } },
      { exporter, proof: { key, signature: new Uint8Array(0) } },
      { exporter, proof: { key: JSON.stringify(other.jwk), signature: other.signature } },
      { exporter, proof: { key: privateKey, signature } },
      { exporter, proof: { key: key + " ".repeat(1_024), signature } },
      { exporter, proof: { key: "{", signature } },
      { exporter, proof: { key: "null", signature } },
      { exporter, proof: { key: JSON.stringify({ ...jwk, x: "AAAA" }), signature } },
      { exporter, proof: { key: JSON.stringify({ ...jwk, crv: "P-384" }), signature } },
    ];
    const nothing = new Uint8Array(0);
    const overNothing = await crypto.subtle.sign(
      algorithm === "EdDSA" ? { name: "Ed25519" } : { name: "ECDSA", hash: "SHA-256" },
      pair.privateKey,
      nothing,
    );
    wrong.push({ exporter: nothing, proof: { key, signature: new Uint8Array(overNothing) } });
    for (const binding of wrong) assertEquals(await reasonOf(token, { binding }), "not-bound");
    assertEquals(await verifyProof({ keyThumbprint, exporter, ...proof }), true);
  });
}

Deno.test("a token that is bound twice needs both", async () => {
  const exporter = new Uint8Array(32).fill(9);
  const certificateSha256 = new Uint8Array(32).fill(7);
  const { jwk, keyThumbprint, signature } = await clientKey("EdDSA", exporter);
  const cnf = { jkt: keyThumbprint, "x5t#S256": base64url(certificateSha256) };
  const token = await sign({ cnf });
  const proof = { key: JSON.stringify(jwk), signature };
  await verifyToken(token, {
    ...await policy(),
    binding: { exporter, proof, certificateSha256 },
  });
  assertEquals(await reasonOf(token, { binding: { exporter, proof } }), "not-bound");
  assertEquals(await reasonOf(token, { binding: { exporter, certificateSha256 } }), "not-bound");
});
