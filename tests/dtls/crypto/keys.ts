// Key pairs that were published with the standards, in the forms that providers load.

import { Buffer } from "node:buffer";
import { createPrivateKey } from "node:crypto";
import { concatBytes, fromHex } from "../../../src/base/bytes.ts";
import { writePublicKey } from "../../../src/dtls/crypto/der.ts";

/** A key pair as its standard prints it. */
export interface PublishedKey {
  readonly kind: "secp256r1" | "secp384r1" | "ed25519";
  /** The scalar, or Ed25519's seed. */
  readonly privateKey: Uint8Array;
  /** The uncompressed point, or Ed25519's 32 bytes. */
  readonly publicKey: Uint8Array;
}

/** RFC 6979 appendix A.2.5. */
export const RFC6979_P256: PublishedKey = {
  kind: "secp256r1",
  privateKey: fromHex("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721"),
  publicKey: fromHex(`04
    60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6
    7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299`),
};

/** RFC 6979 appendix A.2.6. */
export const RFC6979_P384: PublishedKey = {
  kind: "secp384r1",
  privateKey: fromHex(`
    6B9D3DAD2E1B8C1C05B19875B6659F4DE23C3B667BF297BA9AA47740787137D8
    96D5724E4C70A825F872C9EA60D2EDF5`),
  publicKey: fromHex(`04
    EC3A4E415B4E19A4568618029F427FA5DA9A8BC4AE92E02E06AAE5286B300C64DEF8F0EA9055866064A254515480BC13
    8015D9B72D7D57244EA8EF9AC0C621896708A59367F9DFB9F54CA84B3F1C9DB1288B231C3AE0D4FE7344FD2533264720`),
};

/** RFC 8032 section 7.1, test 1. */
export const RFC8032_TEST1: PublishedKey = {
  kind: "ed25519",
  privateKey: fromHex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"),
  publicKey: fromHex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"),
};

// RFC 8448 section 2, by the names of RFC 7518.
const RFC8448_RSA = {
  n: `b4bb498f8279303d980836399b36c6988c0c68de55e1bdb826d3901a2461eafd2de49a91d015abbc9a95137ace6c
      1af19eaa6af98c7ced43120998e187a80ee0ccb0524b1b018c3e0b63264d449a6d38e22a5fda430846748030530e
      f0461c8ca9d9efbfae8ea6d1d03e2bd193eff0ab9a8002c47428a6d35a8d88d79f7f1e3f`,
  e: "010001",
  d: `04dea705d43a6ea7209dd8072111a83c81e322a59278b33480641eaf7c0a6985b8e31c44f6de62e1b4c2309f6126
      e77b7c41e923314bbfa3881305dc1217f16c819ce538e922f369828d0e57195d8c8488460207b2faa726bcf708bb
      d7db7f679f893492fc2a622e08970aac441ce4e0c3088df25ae679233df8a3bda2ff9941`,
  p: `e435fb7cc83737756dacea96ab7f59a2cc1069db7deb190e17e33a532b273f30a327aa0aaabc58cd67466af9845f
      adc675fe094af92c4bd1f2c1bc33dd2e0515`,
  q: `cabd3bc0e0438664c8d4cc9f99977a94d9bbfead8e43870abae3f7eb8b4e0eee8af1d9b4719ba6196cf2cbbaeeeb
      f8b3490afe9e9ffa74a88aa51fc645629303`,
  dp: `3f57345c27fe1b687e6e761627b78b1b826433dd760fa0bea6a6acf39490aa1b47cda4869d68f584dd5b5029bd32
      093b8258661fe715025e5d70a45a08d3d319`,
  dq: `183da01363bd2f2885cacbdc9964bf4764f1517636f86401286f71893c52ccfe40a6c23d0d086b47c6fb10d8fd10
      41e04def7e9a40ce957c417794e10412d139`,
  qi: `839ca9a085e4286b2c90e466997a2c681f21339aa3477814e4dec11833050ed50dd13cc038048a43c59b2acc4168
      89c037665fe5afa605969f8c01dfa5ca969d`,
};

/** The RSA key of RFC 8448 section 2, of 1,024 bits, in PKCS#8. */
export function rfc8448RsaPkcs8(): Uint8Array {
  const jwk: Record<string, string> = { kty: "RSA" };
  for (const [name, hex] of Object.entries(RFC8448_RSA)) {
    jwk[name] = Buffer.from(fromHex(hex)).toString("base64url");
  }
  const key = createPrivateKey({ key: jwk, format: "jwk" });
  return new Uint8Array(key.export({ format: "der", type: "pkcs8" }));
}

/** An element of DER whose contents are these parts. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const contents = concatBytes(...parts);
  const length = contents.length < 0x80
    ? [contents.length]
    : contents.length < 0x100
    ? [0x81, contents.length]
    : [0x82, contents.length >>> 8, contents.length];
  return concatBytes(Uint8Array.of(tag, ...length), contents);
}

const ALGORITHM_IDENTIFIERS = {
  secp256r1: fromHex("301306072a8648ce3d020106082a8648ce3d030107"),
  secp384r1: fromHex("301006072a8648ce3d020106052b81040022"),
  ed25519: fromHex("300506032b6570"),
};

/** A key in PKCS#8. */
export function pkcs8({ kind, privateKey, publicKey }: PublishedKey): Uint8Array {
  const inner = kind === "ed25519" ? der(0x04, privateKey) : der(
    0x30,
    Uint8Array.of(2, 1, 1),
    der(0x04, privateKey),
    der(0xa1, der(0x03, Uint8Array.of(0), publicKey)),
  );
  return der(0x30, Uint8Array.of(2, 1, 0), ALGORITHM_IDENTIFIERS[kind], der(0x04, inner));
}

/** The SubjectPublicKeyInfo of a key. */
export function spki({ kind, publicKey }: PublishedKey): Uint8Array {
  return writePublicKey(kind, publicKey);
}

/** PKCS#8 of one key of each kind. */
export const PRIVATE_KEYS: ReadonlyMap<string, Uint8Array> = new Map([
  ["secp256r1", pkcs8(RFC6979_P256)],
  ["secp384r1", pkcs8(RFC6979_P384)],
  ["ed25519", pkcs8(RFC8032_TEST1)],
  ["rsa", rfc8448RsaPkcs8()],
]);
