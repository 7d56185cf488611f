// Tokens as clients present them: the principal, the error of each fault, the binding to the association.

import { assertEquals, assertRejects } from "@std/assert";
import type { AssociationFacts } from "../../src/server/authenticator.ts";
import { certificateFingerprint } from "../../src/server/certificate_files.ts";
import { createTokenCheck } from "../../src/server/token_check.ts";
import { issueToken, type IssueTokenOptions } from "../../src/server/token_issuer.ts";
import {
  makeTokenKeyPair,
  tokenKeysFromPem,
  tokenSigningKeyFromPem,
} from "../../src/server/token_keys.ts";
import { SqpError } from "../../src/wire/errors.ts";

const NOW = Date.UTC(2026, 5, 1);
const CERTIFICATE = Uint8Array.of(1, 2, 3);
const NAMES = { issuer: "i", audience: "a" };

const FACTS: AssociationFacts = { peerChain: [], exporter: () => new Uint8Array(32) };

/** A check of one key's tokens, and what issues them. */
async function open() {
  const pair = await makeTokenKeyPair("EdDSA");
  const keys = await tokenKeysFromPem(pair.publicKeyPem);
  const key = await tokenSigningKeyFromPem(pair.privateKeyPem);
  const check = createTokenCheck({ ...NAMES, keys: () => keys, now: () => NOW });
  const issue = async (more: Partial<IssueTokenOptions> = {}) => {
    const subject = "alice";
    const common = { subject, permissions: ["read"], lifetimeMs: 60_000, now: NOW } as const;
    const token = await issueToken({ key, ...NAMES, ...common, ...more });
    return { type: "token", token } as const;
  };
  const errorOf = async (more: Partial<IssueTokenOptions>, facts = FACTS) => {
    const credential = await issue(more);
    return (await assertRejects(async () => await check(credential, facts), SqpError)).codeName;
  };
  return { key, check, issue, errorOf };
}

Deno.test("a good token gives principal, permissions and its end", async () => {
  const { check, issue } = await open();
  assertEquals<unknown>(await check(await issue(), FACTS), {
    name: "token:i/alice",
    permissions: ["read"],
    expiresAt: NOW + 60_000,
  });
});

Deno.test("each fault of a token has its own error", async () => {
  const { key, check, errorOf } = await open();
  assertEquals(await errorOf({ issuer: "x" }), "token_wrong_issuer");
  assertEquals(await errorOf({ audience: "x" }), "token_wrong_audience");
  assertEquals(await errorOf({ now: NOW - 120_000 }), "token_expired");
  assertEquals(await errorOf({ now: NOW + 120_000 }), "token_not_yet_valid");
  assertEquals(await errorOf({ lifetimeMs: 1e9 }), "token_claim_refused");
  assertEquals(await errorOf({ key: { ...key, keyId: "x" } }), "token_unknown_key");
  const stranger = await open();
  const forger = { ...stranger.key, keyId: key.keyId };
  assertEquals(await errorOf({ key: forger }), "token_bad_signature");
  const garbage = { type: "token", token: "x" } as const;
  const error = await assertRejects(async () => await check(garbage, FACTS), SqpError);
  assertEquals(error.codeName, "token_malformed");
});

Deno.test("a token that is bound to a certificate needs the association's leaf", async () => {
  const { check, issue, errorOf } = await open();
  const bound = { certificateSha256: certificateFingerprint(CERTIFICATE) };
  const facts = { ...FACTS, peerChain: [CERTIFICATE] };
  assertEquals((await check(await issue(bound), facts)).name, "token:i/alice");
  assertEquals(await errorOf(bound), "token_not_bound");
  const stranger = { ...FACTS, peerChain: [Uint8Array.of(9), CERTIFICATE] };
  assertEquals(await errorOf(bound, stranger), "token_not_bound");
});
