// Whether a certificate carries the name that a client asked for (RFC 6125 and RFC 9525).

import { equalBytes } from "../../base/bytes.ts";
import type { ParsedCertificate } from "./certificate.ts";
import { isDnsName } from "./general_name.ts";
import { parseIpAddress } from "./ip_address.ts";

/**
 * Whether one of a certificate's alternative names is `serverName`, a DNS name (IDNs as A-labels, a final dot is
 * ignored) or an IP address. The subject's common name is never looked at.
 */
export function certificateHasServerName(
  certificate: ParsedCertificate,
  serverName: string,
): boolean {
  const names = certificate.extensions.subjectAltNames;
  // RFC 9525 section 6.5: an IP address is compared, octet for octet, with iPAddress names only.
  const address = parseIpAddress(serverName);
  if (address !== undefined) {
    return names.some((name) => name.form === "ip" && equalBytes(name.octets, address));
  }
  const reference = (serverName.endsWith(".") ? serverName.slice(0, -1) : serverName).toLowerCase();
  return names.some((name) => name.form === "dns" && matchesDnsName(name.text, reference));
}

/** Whether a presented DNS name, perhaps with a wildcard, stands for a reference name of lower case. */
function matchesDnsName(presentedText: string, reference: string): boolean {
  const presented = presentedText.toLowerCase();
  // What a certificate presents is a DNS name, and so is what it equals.
  if (!presented.includes("*")) return presented === reference;
  if (!isDnsName(reference) || reference.includes("*")) return false;
  // RFC 6125 section 6.4.3: "If the wildcard character is the only character of the left-most label in the presented
  // identifier, the client SHOULD NOT compare against anything but the left-most label of the reference identifier".
  // Wildcards anywhere else match nothing, and neither does one directly below the root.
  const suffix = presented.slice(1);
  if (!/^\*\.[^*.]+\.[^*]+$/.test(presented)) return false;
  const firstDot = reference.indexOf(".");
  return firstDot > 0 && reference.slice(firstDot) === suffix;
}
