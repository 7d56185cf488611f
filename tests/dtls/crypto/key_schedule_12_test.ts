// The key schedule of DTLS 1.2 with each provider: published vectors of the PRF, and OpenSSL's own derivations.

import { assertEquals, assertNotEquals } from "@std/assert";
import { concatBytes, EMPTY_BYTES, fromHex, toHex, utf8Bytes } from "../../../src/base/bytes.ts";
import {
  exportKeyingMaterial12,
  extendedMasterSecret,
  finishedVerifyData12,
  prf12,
  writeKeys,
} from "../../../src/dtls/key_schedule_12.ts";
import type { TrafficKeyParameters } from "../../../src/dtls/key_schedule.ts";
import type { CryptoProvider, HashName } from "../../../src/dtls/crypto/provider.ts";
import { canRunOpenssl } from "../../harness/folder.ts";
import { PROVIDERS, testEach } from "./providers.ts";

interface PrfVector {
  readonly hash: HashName;
  readonly secret: string;
  readonly seed: string;
  readonly output: string;
}

/** The vectors of the TLS working group's mailing list, label "test label". */
const PRF_VECTORS: readonly PrfVector[] = [
  {
    hash: "sha256",
    secret: "9bbe436ba940f017b17652849a71db35",
    seed: "a0ba9f936cda311827a6f796ffd5198c",
    output: "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a" +
      "6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17abfd3797c0564bab" +
      "4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701" +
      "87347b66",
  },
  {
    hash: "sha384",
    secret: "b80b733d6ceefcdc71566ea48e5567df",
    seed: "cd665cf6a8447dd6ff8b27555edb7465",
    output: "7b0c18e9ced410ed1804f2cfa34a336a1c14dffb4900bb5fd7942107e81c83cd" +
      "e9ca0faa60be9fe34f82b1233c9146a0e534cb400fed2700884f9dc236f80edd" +
      "8bfa961144c9e8d792eca722a7b32fc3d416d473ebc2c5fd4abfdad05d918425" +
      "9b5bf8cd4d90fa0d31e2dec479e4f1a26066f2eea9a69236a3e52655c9e9aee6" +
      "91c8f3a26854308d5eaa3be85e0990703d73e56f",
  },
];

testEach(
  "RFC 5246 section 5: PRF(secret, label, seed) = P_<hash>(secret, label + seed)",
  (provider) => {
    for (const { hash, secret, seed, output } of PRF_VECTORS) {
      const parameters = { provider, hash };
      const parts = [fromHex(seed.slice(0, 6)), EMPTY_BYTES, fromHex(seed.slice(6))];
      const made = prf12(parameters, fromHex(secret), "test label", parts, output.length / 2);
      assertEquals(toHex(made), output);
    }
  },
);

const PREMASTER = fromHex("0f".repeat(32));
const SESSION_HASH = fromHex("a1".repeat(32));
const CLIENT_RANDOM = fromHex("c1".repeat(32));
const SERVER_RANDOM = fromHex("5e".repeat(32));
const RANDOMS = { client: CLIENT_RANDOM, server: SERVER_RANDOM };

/** What OpenSSL derives. */
function opensslPrf(
  hash: HashName,
  secret: Uint8Array,
  label: string,
  seed: Uint8Array,
  lengthBytes: number,
): Uint8Array {
  const digest = `SHA2-${hash.slice(3)}`;
  const options = [`digest:${digest}`, `hexsecret:${toHex(secret)}`, `seed:${label}`];
  if (seed.length > 0) options.push(`hexseed:${toHex(seed)}`);
  const args = ["kdf", "-keylen", String(lengthBytes), "-binary"];
  for (const option of options) args.push("-kdfopt", option);
  const { success, stdout } = new Deno.Command("openssl", { args: [...args, "TLS1-PRF"] })
    .outputSync();
  if (!success) throw new Error("openssl kdf failed");
  return stdout;
}

function suites(provider: CryptoProvider): readonly TrafficKeyParameters[] {
  return [
    { provider, hash: "sha256", aead: "aes-128-gcm" },
    { provider, hash: "sha384", aead: "aes-256-gcm" },
    { provider, hash: "sha256", aead: "chacha20-poly1305" },
  ];
}

for (const name of ["master secret", "keys", "Finished", "exporter"] as const) {
  const title = `the ${name} is what OpenSSL derives`;
  Deno.test({ name: title, ignore: !canRunOpenssl() }, async (t) => {
    for (const provider of PROVIDERS) {
      for (const parameters of suites(provider)) {
        await t.step(`${provider.name} ${parameters.aead}`, () => CHECKS[name](parameters));
      }
    }
  });
}

const CHECKS = {
  "master secret": (parameters: TrafficKeyParameters) => {
    const { hash } = parameters;
    assertEquals(
      extendedMasterSecret(parameters, PREMASTER, SESSION_HASH),
      opensslPrf(hash, PREMASTER, "extended master secret", SESSION_HASH, 48),
    );
  },
  "keys": (parameters: TrafficKeyParameters) => {
    const { hash, aead } = parameters;
    const [keyBytes, ivBytes] = { "aes-128-gcm": [16, 4], "aes-256-gcm": [32, 4] }[
      aead as string
    ] ?? [32, 12];
    const seed = concatBytes(SERVER_RANDOM, CLIENT_RANDOM);
    const block = opensslPrf(
      hash,
      PREMASTER,
      "key expansion",
      seed,
      2 * (keyBytes! + ivBytes!),
    );
    const { client, server } = writeKeys(parameters, PREMASTER, CLIENT_RANDOM, SERVER_RANDOM);
    assertEquals(concatBytes(client.key, server.key, client.iv, server.iv), block);
    assertEquals([client.key.length, server.iv.length], [keyBytes!, ivBytes!]);
  },
  "Finished": (parameters: TrafficKeyParameters) => {
    for (const sender of ["client", "server"] as const) {
      assertEquals(
        finishedVerifyData12(parameters, PREMASTER, sender, SESSION_HASH),
        opensslPrf(parameters.hash, PREMASTER, `${sender} finished`, SESSION_HASH, 12),
      );
    }
  },
  "exporter": (parameters: TrafficKeyParameters) => {
    const { hash } = parameters;
    const randoms = concatBytes(CLIENT_RANDOM, SERVER_RANDOM);
    const without = exportKeyingMaterial12(parameters, PREMASTER, RANDOMS, "EXP", undefined, 40);
    assertEquals(without, opensslPrf(hash, PREMASTER, "EXP", randoms, 40));
    const context = utf8Bytes("context");
    const seed = concatBytes(randoms, new Uint8Array([0, 7]), context);
    const withContext = exportKeyingMaterial12(parameters, PREMASTER, RANDOMS, "EXP", context, 40);
    assertEquals(withContext, opensslPrf(hash, PREMASTER, "EXP", seed, 40));
  },
};

testEach("RFC 5705 section 4: no context is not an empty context", (provider) => {
  for (const parameters of suites(provider)) {
    const made = [undefined, EMPTY_BYTES].map((context) =>
      exportKeyingMaterial12(parameters, PREMASTER, RANDOMS, "EXP", context, 32)
    );
    assertNotEquals(made[0], made[1]);
  }
});
