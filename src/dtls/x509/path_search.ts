// Finding certification paths: chains may come in any order and with certificates that do not belong to them.

import { equalBytes } from "../../base/bytes.ts";
import type { ParsedCertificate } from "./certificate.ts";
import { equalNames } from "./distinguished_name.ts";

/** A possible path, the leaf first; its last certificate is the trust anchor's. */
export type CertificatePath = readonly ParsedCertificate[];

/** What a search looks at, and how far it goes. */
export interface PathSearchOptions {
  readonly leaf: ParsedCertificate;
  /** Certificates that may stand between leaf and anchor. */
  readonly intermediates: readonly ParsedCertificate[];
  readonly anchors: readonly ParsedCertificate[];
  /** Most certificates in a path, the anchor not counted. */
  readonly pathCertificatesMax: number;
  /** Most certificates looked at as the next one of a path. */
  readonly stepsMax: number;
}

/** Thrown by {@linkcode candidatePaths} where `stepsMax` is reached. */
export class PathSearchExhausted extends Error {
  override readonly name = "PathSearchExhausted";
}

/**
 * All paths that names and key identifiers allow, shortest choices first. Signatures and everything else are not
 * looked at. Throws {@linkcode PathSearchExhausted}.
 */
export function* candidatePaths(options: PathSearchOptions): Generator<CertificatePath> {
  // A certificate that is itself a trust anchor, octet for octet, needs no issuer: it was trusted as it is.
  if (options.anchors.some((anchor) => equalBytes(anchor.der, options.leaf.der))) {
    yield [options.leaf];
  }
  const budget = { steps: options.stepsMax };
  yield* extend([options.leaf], options, budget);
}

function* extend(
  path: readonly ParsedCertificate[],
  options: PathSearchOptions,
  budget: { steps: number },
): Generator<CertificatePath> {
  if (budget.steps-- <= 0) throw new PathSearchExhausted("too many possible paths");
  const last = path.at(-1)!;
  for (const anchor of options.anchors) {
    if (mayBeIssuedBy(last, anchor) && !path.includes(anchor)) yield [...path, anchor];
  }
  if (path.length >= options.pathCertificatesMax) return;
  for (const candidate of options.intermediates) {
    // RFC 5280 section 6.1: "A certificate MUST NOT appear more than once in a prospective certification path."
    if (path.some((used) => equalBytes(used.der, candidate.der))) continue;
    if (mayBeIssuedBy(last, candidate)) yield* extend([...path, candidate], options, budget);
  }
}

/** Whether names chain, and key identifiers do not contradict. */
function mayBeIssuedBy(certificate: ParsedCertificate, issuer: ParsedCertificate): boolean {
  // Section 6.1.3 (a)(4): "The certificate issuer name is the working_issuer_name."
  if (!equalNames(certificate.issuer, issuer.subject)) return false;
  const stated = certificate.extensions.authorityKeyIdentifier;
  const actual = issuer.extensions.subjectKeyIdentifier;
  return stated === undefined || actual === undefined || equalBytes(stated, actual);
}
