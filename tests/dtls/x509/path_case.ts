// The shape of a case of path validation, and the certificates that most cases are made of.

import type { CertificateFaultReason } from "../../../src/dtls/x509/mod.ts";
import {
  altNames,
  authority,
  certificate,
  type CertificateOptions,
  extendedKeyUsage,
  keyUsage,
  rootAuthority,
  type TestCertificate,
  testKey,
} from "./certificate_builder.ts";

export interface PathInput {
  readonly chain: readonly Uint8Array[];
  readonly anchors: readonly Uint8Array[];
  readonly crls?: readonly Uint8Array[];
  readonly purpose?: "serverAuth" | "clientAuth";
  readonly serverName?: string;
  readonly now?: number;
}

export interface PathCase {
  readonly title: string;
  readonly expected: "accepted" | CertificateFaultReason;
  /** Why `openssl verify` decides otherwise, where it does. */
  readonly opensslDiffers?: string;
  /** Why `openssl verify` is not asked: releases of it decide differently. */
  readonly opensslVaries?: string;
  /** Further arguments for `openssl verify`. */
  readonly opensslArgs?: readonly string[];
  readonly make: () => PathInput;
}

export const rootKey = testKey("p256", "root");
export const leafKey = testKey("p256", "leaf");
const middleKey = testKey("p256", "middle");
export const root = rootAuthority({ key: rootKey });
export const SERVER: readonly Uint8Array[] = [
  keyUsage("digitalSignature"),
  extendedKeyUsage("serverAuth"),
  altNames("dns:server.example", "ip:127.0.0.1"),
];
export const CA: readonly Uint8Array[] = [authority(), keyUsage("keyCertSign", "cRLSign")];

export function leaf(options: Partial<CertificateOptions> = {}): TestCertificate {
  return certificate({
    subject: "CN=leaf",
    key: leafKey,
    issuer: root,
    extensions: SERVER,
    ...options,
  });
}

export function middle(options: Partial<CertificateOptions> = {}): TestCertificate {
  return certificate({
    subject: "CN=Middle",
    key: middleKey,
    issuer: root,
    extensions: CA,
    ...options,
  });
}

export function ders(...certificates: TestCertificate[]): Uint8Array[] {
  return certificates.map(({ der }) => der);
}

/** A leaf under the root, with these extensions. */
export function leafCase(
  title: string,
  expected: PathCase["expected"],
  options: Partial<CertificateOptions>,
  more: Partial<PathInput> & { opensslDiffers?: string } = {},
): PathCase {
  const { opensslDiffers, ...input } = more;
  return {
    title,
    expected,
    ...(opensslDiffers === undefined ? {} : { opensslDiffers }),
    make: () => ({ chain: ders(leaf(options)), anchors: ders(root), ...input }),
  };
}

/** A leaf under an intermediate under the root. */
export function middleCase(
  title: string,
  expected: PathCase["expected"],
  middleOptions: Partial<CertificateOptions>,
  leafOptions: Partial<CertificateOptions> = {},
  opensslDiffers?: string,
): PathCase {
  return {
    title,
    expected,
    ...(opensslDiffers === undefined ? {} : { opensslDiffers }),
    make: () => {
      const issuer = middle(middleOptions);
      return { chain: ders(leaf({ issuer, ...leafOptions }), issuer), anchors: ders(root) };
    },
  };
}
