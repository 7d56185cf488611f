// Addresses as texts: `host:port`, an IPv6 host in brackets.

/** The host of an address. */
export function hostOfAddress(address: string): string {
  const colonAt = address.lastIndexOf(":");
  return colonAt < 0 ? address : address.slice(0, colonAt);
}
