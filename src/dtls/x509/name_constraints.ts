// Name constraints (RFC 5280 section 4.2.1.10): the names that an issuer may certify.

import { AttributeType, isWithinName } from "./distinguished_name.ts";
import type { ParsedCertificate } from "./certificate.ts";
import type { NameConstraints, NameSubtree } from "./extensions.ts";
import { CertificateFault } from "./fault.ts";
import type { GeneralName } from "./general_name.ts";
import { parseIpAddress } from "./ip_address.ts";

/** Throws {@linkcode CertificateFault} where a name of `certificate` is outside of what `constraints` allow. */
export function checkNameConstraints(
  certificate: ParsedCertificate,
  constraints: NameConstraints,
): void {
  for (const name of constrainedNames(certificate)) {
    // "Any name matching a restriction in the excludedSubtrees field is invalid regardless of information appearing
    // in the permittedSubtrees."
    const excluded = constraints.excluded.filter((subtree) => constrains(subtree, name));
    if (excluded.some((subtree) => matches(name, subtree.base, "excluded"))) {
      throw new CertificateFault("name-constraint", `${describe(name)} is excluded`);
    }
    // "Restrictions apply only when the specified name form is present."
    const permitted = constraints.permitted.filter((subtree) => constrains(subtree, name));
    if (
      permitted.length > 0 &&
      !permitted.some((subtree) => matches(name, subtree.base, "permitted"))
    ) {
      throw new CertificateFault("name-constraint", `${describe(name)} is not permitted`);
    }
  }
}

/** All names that constraints apply to: the subject, addresses inside it, and the alternative names. */
function constrainedNames(certificate: ParsedCertificate): GeneralName[] {
  const names: GeneralName[] = [...certificate.extensions.subjectAltNames];
  const { subject } = certificate;
  // "Restrictions of the form directoryName MUST be applied to the subject field in the certificate (when the
  // certificate includes a non-empty subject field)".
  if (subject.rdns.length > 0) names.push({ form: "directory", directory: subject });
  // "the rfc822Name constraint MUST be applied to the attribute of type emailAddress in the subject": the RFC asks
  // for it where there is no alternative name; an address that a reader may believe is checked always.
  for (const attribute of subject.rdns.flat()) {
    if (attribute.type !== AttributeType.emailAddress) continue;
    names.push({ form: "email", text: attribute.text ?? "" });
  }
  return names;
}

/** Whether a subtree is of a name's form. */
function constrains(subtree: NameSubtree, name: GeneralName): boolean {
  const { base } = subtree;
  const isSameForm = base.form === "other" && name.form === "other"
    ? base.tag === name.tag
    : base.form === name.form;
  if (!isSameForm) return false;
  // "the application MUST either process the constraint or reject the certificate": critical or not.
  if (subtree.isBounded || base.form === "other") {
    throw new CertificateFault("name-constraint", `a constraint of ${base.form} is not supported`);
  }
  return true;
}

function matches(name: GeneralName, base: GeneralName, list: "permitted" | "excluded"): boolean {
  if (name.form === "dns" && base.form === "dns") return matchesDns(name.text, base.text, list);
  if (name.form === "email" && base.form === "email") return matchesEmail(name.text, base.text);
  if (name.form === "uri" && base.form === "uri") return matchesUri(name.text, base.text);
  if (name.form === "ip" && base.form === "ip") return matchesIp(name.octets, base.octets);
  if (name.form === "directory" && base.form === "directory") {
    return isWithinName(name.directory, base.directory);
  }
  return false;
}

// "Any DNS name that can be constructed by simply adding zero or more labels to the left-hand side of the name
// satisfies the name constraint."
function matchesDns(text: string, baseText: string, list: "permitted" | "excluded"): boolean {
  const name = text.toLowerCase();
  const base = baseText.toLowerCase().replace(/\.$/, "");
  if (base === "") return true;
  // A leading period is not of RFC 5280, but of habit: subdomains only.
  if (base.startsWith(".")) return name.endsWith(base);
  if (name === base || name.endsWith(`.${base}`)) return true;
  // "*.example.com" speaks for "secret.example.com" too, so a constraint that excludes the latter excludes it.
  const parent = base.slice(base.indexOf(".") + 1);
  return list === "excluded" && base.includes(".") && name === `*.${parent}`;
}

// "root@example.com" is one mailbox, "example.com" all mailboxes of a host, ".example.com" those of all hosts below.
function matchesEmail(text: string, base: string): boolean {
  const at = text.lastIndexOf("@");
  if (at < 0) throw new CertificateFault("name-constraint", "an address without a host");
  const host = text.slice(at + 1).toLowerCase();
  const baseAt = base.lastIndexOf("@");
  const baseHost = base.slice(baseAt + 1).toLowerCase();
  // Section 7.5: the local part is compared as it is, the host without regard to case.
  if (baseAt >= 0) return text.slice(0, at) === base.slice(0, baseAt) && host === baseHost;
  return baseHost === "" || matchesHost(host, baseHost);
}

// "When the constraint begins with a period, it MAY be expanded with one or more labels. [...] When the constraint
// does not begin with a period, it specifies a host."
function matchesHost(host: string, base: string): boolean {
  return base.startsWith(".") ? host.endsWith(base) && host.length > base.length : host === base;
}

function matchesUri(text: string, base: string): boolean {
  const authority = /^[A-Za-z][A-Za-z0-9+.-]*:\/\/([^/?#]*)/.exec(text)?.[1];
  const host = authority?.slice(authority.lastIndexOf("@") + 1).replace(/:\d*$/, "").toLowerCase();
  // "If [...] a uniformResourceIdentifier that does not include an authority component with a host name specified as
  // a fully qualified domain name [...] then the application MUST reject the certificate."
  if (host === undefined || !/^[a-z0-9_.-]+$/.test(host) || parseIpAddress(host) !== undefined) {
    throw new CertificateFault("name-constraint", "a URI without a host name");
  }
  return base === "" || matchesHost(host.replace(/\.$/, ""), base.toLowerCase());
}

/** `range` is an address and a mask, each as long as the address. */
function matchesIp(octets: Uint8Array, range: Uint8Array): boolean {
  if (range.length !== 2 * octets.length) return false;
  return octets.every((octet, i) => {
    const mask = range[octets.length + i]!;
    return (octet & mask) === (range[i]! & mask);
  });
}

function describe(name: GeneralName): string {
  return name.form === "dns" || name.form === "email" || name.form === "uri"
    ? `${name.form} ${name.text}`
    : `a name of form ${name.form}`;
}
