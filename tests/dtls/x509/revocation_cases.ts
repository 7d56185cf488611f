// Revocation lists.

import {
  authority,
  crl,
  DAY_MS,
  EPOCH,
  extension,
  integer,
  keyUsage,
  octetString,
  rootAuthority,
  sequence,
  testKey,
  tlv,
} from "./certificate_builder.ts";
import { ders, leaf, middle, type PathCase, root, rootKey } from "./path_case.ts";

/** A leaf with this serial number and the root's list. */
function crlCase(
  title: string,
  expected: PathCase["expected"],
  options: Partial<Parameters<typeof crl>[0]>,
  opensslDiffers?: string,
): PathCase {
  return {
    title: `revocation: ${title}`,
    expected,
    ...(opensslDiffers === undefined ? {} : { opensslDiffers }),
    make: () => ({
      chain: ders(leaf({ serial: 77 })),
      anchors: ders(root),
      crls: [crl({ issuer: root, ...options })],
    }),
  };
}

export const REVOCATION_CASES: PathCase[] = [
  crlCase("an empty list", "accepted", {}),
  crlCase("other serial numbers", "accepted", { revoked: [78, 7777] }),
  crlCase("this serial number", "revoked", { revoked: [76, 77, 78] }),
  crlCase("a list past its next update", "crl-expired", { nextUpdate: EPOCH - 1000 }),
  crlCase("a list of the future", "crl-not-yet-valid", { thisUpdate: EPOCH + DAY_MS }),
  crlCase(
    "a list without a next update",
    "crl-expired",
    { nextUpdate: "none" },
    "RFC 5280 section 5.1.2.5 leaves it open; a list without end could be replayed for ever",
  ),
  crlCase("a damaged signature", "crl-bad-signature", { damageSignature: true }),
  crlCase("an unknown critical extension", "crl-unknown-critical-extension", {
    extensions: [extension("1.2.3.4.5", octetString(new Uint8Array(1)), true)],
  }),
  {
    ...crlCase("a delta list", "crl-unknown-critical-extension", {
      extensions: [extension("2.5.29.27", integer(0), true)],
    }),
    opensslVaries: "3.0.19 takes a delta list for a complete one, 3.0.22 does not",
  },
  {
    ...crlCase("a delta list that does not say so critically", "crl-unknown-critical-extension", {
      extensions: [extension("2.5.29.27", integer(0))],
    }),
    opensslVaries: "3.0.19 takes a delta list for a complete one, 3.0.22 does not",
  },
  crlCase("a list for attribute certificates only", "crl-unknown-critical-extension", {
    extensions: [extension("2.5.29.28", sequence(tlv(0x85, Uint8Array.of(0xff))), true)],
  }),
  crlCase(
    "a list for authorities only that does not say so critically",
    "crl-unknown-critical-extension",
    { extensions: [extension("2.5.29.28", sequence(tlv(0x82, Uint8Array.of(0xff))))] },
  ),
  crlCase(
    "an unknown critical extension of an entry",
    "crl-unknown-critical-extension",
    {
      revoked: [78],
      entryExtensions: [extension("1.2.3.4.5", octetString(new Uint8Array(1)), true)],
    },
  ),
  crlCase("an entry with a reason", "revoked", {
    revoked: [77],
    entryExtensions: [extension("2.5.29.21", integer(1, 0x0a))],
  }),
  ...(["ed25519", "p384", "rsa"] as const).map((kind): PathCase => ({
    title: `revocation: a list signed by a ${kind} key`,
    expected: "revoked",
    make: () => {
      const top = rootAuthority({ key: testKey(kind, "top") });
      const end = leaf({ issuer: top });
      const list = crl({ issuer: top, revoked: [end.serial] });
      return { chain: ders(end), anchors: ders(top), crls: [list] };
    },
  })),
  {
    title: "revocation: an issuer without cRLSign",
    expected: "crl-missing-crl-sign",
    make: () => {
      const top = rootAuthority({
        key: rootKey,
        extensions: [authority(), keyUsage("keyCertSign")],
      });
      return {
        chain: ders(leaf({ issuer: top })),
        anchors: ders(top),
        crls: [crl({ issuer: top })],
      };
    },
  },
  {
    title: "revocation: an intermediate",
    expected: "revoked",
    opensslArgs: ["-crl_check_all"],
    make: () => {
      const issuer = middle();
      return {
        chain: ders(leaf({ issuer }), issuer),
        anchors: ders(root),
        crls: [crl({ issuer }), crl({ issuer: root, revoked: [issuer.serial] })],
      };
    },
  },
  {
    title: "revocation: an expired list beside a current one",
    expected: "accepted",
    make: () => ({
      chain: ders(leaf()),
      anchors: ders(root),
      crls: [crl({ issuer: root, nextUpdate: EPOCH - 1000 }), crl({ issuer: root, number: 2 })],
    }),
  },
  {
    title: "revocation: a list of another authority of the same name",
    expected: "accepted",
    opensslDiffers: "openssl -crl_check demands a list; here a store may have none of an issuer's",
    make: () => ({
      chain: ders(leaf({ serial: 77 })),
      anchors: ders(root),
      crls: [crl({
        issuer: rootAuthority({ key: testKey("p256", "other") }),
        revoked: [77],
      })],
    }),
  },
];
