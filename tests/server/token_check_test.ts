// Tokens as clients present them: the principal, the error of each fault, the binding to the association, the file of keys.

import { assertEquals, assertRejects } from "@std/assert";
import type { AssociationFacts } from "../../src/server/authenticator.ts";
import {
  CertificateFileError,
  certificateFingerprint,
} from "../../src/server/certificate_files.ts";
import { openTokenCheck } from "../../src/server/token_check.ts";
import { ensureTokenKeys, readTokenSigningKey } from "../../src/server/token_files.ts";
import { issueToken, type IssueTokenOptions } from "../../src/server/token_issuer.ts";
import { SqpError } from "../../src/wire/errors.ts";
import { folderTest } from "../harness/folder.ts";

const NOW = Date.UTC(2026, 5, 1);
const CERTIFICATE = Uint8Array.of(1, 2, 3);
const NAMES = { issuer: "i", audience: "a" };

const FACTS: AssociationFacts = { peerChain: [], exporter: () => new Uint8Array(32) };

/** A check of the keys in a folder, and what issues tokens for it. */
async function open(directory: string, onUnusableFile?: (error: unknown) => void) {
  await ensureTokenKeys(directory, "EdDSA");
  const keyFile = `${directory}/token.pem`;
  const check = await openTokenCheck({
    ...NAMES,
    keyFile,
    clock: () => NOW,
    ...(onUnusableFile && { onUnusableFile }),
  });
  const issue = async (more: Partial<IssueTokenOptions> = {}) => {
    const key = await readTokenSigningKey(`${directory}/token.key`);
    const subject = "alice";
    const common = { subject, permissions: ["read"], lifetimeMs: 60_000, now: NOW } as const;
    const token = await issueToken({ key, ...NAMES, ...common, ...more });
    return { type: "token", token } as const;
  };
  const errorOf = async (more: Partial<IssueTokenOptions>, facts = FACTS) => {
    const credential = await issue(more);
    return (await assertRejects(async () => await check(credential, facts), SqpError)).codeName;
  };
  return { keyFile, check, issue, errorOf };
}

folderTest("a good token gives principal and permissions", async (directory) => {
  const { check, issue } = await open(directory);
  assertEquals(await check(await issue(), FACTS), { name: "token:i/alice", permissions: ["read"] });
});

folderTest("each fault has its own error", async (directory) => {
  const { check, errorOf } = await open(directory);
  assertEquals(await errorOf({ issuer: "x" }), "token_wrong_issuer");
  assertEquals(await errorOf({ audience: "x" }), "token_wrong_audience");
  assertEquals(await errorOf({ now: NOW - 120_000 }), "token_expired");
  assertEquals(await errorOf({ now: NOW + 120_000 }), "token_not_yet_valid");
  assertEquals(await errorOf({ lifetimeMs: 1e9 }), "token_claim_refused");
  const key = await readTokenSigningKey(`${directory}/token.key`);
  assertEquals(await errorOf({ key: { ...key, keyId: "x" } }), "token_unknown_key");
  await ensureTokenKeys(`${directory}/other`, "EdDSA");
  const other = await readTokenSigningKey(`${directory}/other/token.key`);
  assertEquals(await errorOf({ key: { ...other, keyId: key.keyId } }), "token_bad_signature");
  const garbage = { type: "token", token: "x" } as const;
  const error = await assertRejects(async () => await check(garbage, FACTS), SqpError);
  assertEquals(error.codeName, "token_malformed");
});

folderTest("a token that is bound to a certificate needs the association's", async (directory) => {
  const { check, issue, errorOf } = await open(directory);
  const bound = { certificateSha256: certificateFingerprint(CERTIFICATE) };
  const facts = { ...FACTS, peerChain: [CERTIFICATE] };
  assertEquals((await check(await issue(bound), facts)).name, "token:i/alice");
  assertEquals(await errorOf(bound), "token_not_bound");
  const stranger = { ...FACTS, peerChain: [Uint8Array.of(9), CERTIFICATE] };
  assertEquals(await errorOf(bound, stranger), "token_not_bound");
});

folderTest(
  "the file of keys is read again when it changes, and kept when it is bad",
  async (directory) => {
    const unusable: unknown[] = [];
    const { keyFile, check, issue } = await open(directory, (error) => unusable.push(error));
    const old = await issue();
    await Deno.writeTextFile(keyFile, "nothing");
    for (let i = 0; i < 2; i++) assertEquals((await check(old, FACTS)).name, "token:i/alice");
    assertEquals(unusable.length, 1);
    await ensureTokenKeys(`${directory}/new`, "ES256");
    await Deno.rename(`${directory}/new/token.pem`, keyFile);
    const error = await assertRejects(async () => await check(old, FACTS), SqpError);
    assertEquals(error.codeName, "token_unknown_key");
    const key = await readTokenSigningKey(`${directory}/new/token.key`);
    assertEquals((await check(await issue({ key }), FACTS)).name, "token:i/alice");
    await Deno.remove(keyFile);
    assertEquals((await check(await issue({ key }), FACTS)).name, "token:i/alice");
  },
);

folderTest("a file that cannot be read at the start is an error", async (directory) => {
  const options = { ...NAMES, keyFile: `${directory}/token.pem` };
  await assertRejects(() => openTokenCheck(options), CertificateFileError, "no such file");
});
