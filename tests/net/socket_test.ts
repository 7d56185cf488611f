// Addresses of datagrams as texts, and the memory of the last one.

import { assertEquals } from "@std/assert";
import { addressText, LastAddress, parseAddress } from "../../src/net/socket.ts";

const ADDRESSES = [
  { hostname: "192.0.2.1", port: 50_000 },
  { hostname: "192.0.2.1", port: 50_001 },
  { hostname: "192.0.2.2", port: 50_001 },
  { hostname: "2001:db8::1", port: 50_001 },
];

Deno.test("an address and its text say the same, whatever was asked for before", () => {
  const last = new LastAddress();
  for (const before of ADDRESSES) {
    for (const address of ADDRESSES) {
      const text = addressText(address);
      assertEquals(parseAddress(text), address);
      assertEquals(last.textOf(before), addressText(before));
      assertEquals(last.textOf(address), text);
      assertEquals(last.parse(addressText(before)), before);
      assertEquals(last.parse(text), address);
    }
  }
});
