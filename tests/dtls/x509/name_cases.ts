// Names: the server's, and those that an issuer may certify.

import {
  altNames,
  certificate,
  keyUsage,
  nameConstraints,
  rootAuthority,
  testKey,
} from "./certificate_builder.ts";
import {
  CA,
  ders,
  leaf,
  leafCase,
  middle,
  middleCase,
  type PathCase,
  type PathInput,
  root,
  rootKey,
} from "./path_case.ts";

/** Names under the constraints of an intermediate. */
function constraintCase(
  title: string,
  expected: PathCase["expected"],
  constraints: { permitted?: string[]; excluded?: string[] },
  names: string[],
  subject = "CN=leaf",
  opensslDiffers?: string,
): PathCase {
  return middleCase(
    `name constraints: ${title}`,
    expected,
    { extensions: [...CA, nameConstraints(constraints)] },
    {
      subject,
      extensions: [keyUsage("digitalSignature"), altNames("dns:server.example", ...names)],
    },
    opensslDiffers,
  );
}

function hostCase(
  names: string[],
  serverName: string,
  expected: "accepted" | "name-mismatch",
  opensslDiffers?: string,
): PathCase {
  return leafCase(
    `a certificate of ${names.join(", ")} asked for ${serverName}`,
    expected,
    { extensions: [altNames(...names)] },
    { serverName, ...(opensslDiffers === undefined ? {} : { opensslDiffers }) },
  );
}

export const HOST_CASES: PathCase[] = [
  hostCase(["dns:server.example"], "server.example", "accepted"),
  hostCase(["dns:server.example"], "SERVER.Example", "accepted"),
  hostCase(
    ["dns:server.example"],
    "server.example.",
    "accepted",
    "a final dot says that the name is absolute; openssl compares it",
  ),
  hostCase(["dns:server.example"], "other.example", "name-mismatch"),
  hostCase(["dns:server.example"], "a.server.example", "name-mismatch"),
  hostCase(["dns:*.example.com"], "a.example.com", "accepted"),
  hostCase(["dns:*.example.com"], "a.b.example.com", "name-mismatch"),
  hostCase(["dns:*.example.com"], "example.com", "name-mismatch"),
  hostCase(
    ["dns:a*.example.com"],
    "ab.example.com",
    "name-mismatch",
    "RFC 9525 section 6.3: the wildcard is 'the complete left-most label' or nothing",
  ),
  hostCase(["dns:a.*.example.com"], "a.b.example.com", "name-mismatch"),
  hostCase(["dns:*.*.example.com"], "a.b.example.com", "name-mismatch"),
  hostCase(["dns:*.com"], "example.com", "name-mismatch"),
  hostCase(["dns:*"], "localhost", "name-mismatch"),
  hostCase(["dns:*.example.com"], "*.example.com", "name-mismatch", "a reference is no pattern"),
  hostCase(["ip:127.0.0.1"], "127.0.0.1", "accepted"),
  hostCase(["ip:127.0.0.1"], "127.0.0.2", "name-mismatch"),
  hostCase(["dns:127.0.0.1"], "127.0.0.1", "name-mismatch"),
  hostCase(["ip6:00000000000000000000000000000001"], "::1", "accepted"),
  hostCase(["ip6:00000000000000000000ffff7f000001"], "127.0.0.1", "name-mismatch"),
  hostCase(
    ["email:root@server.example"],
    "server.example",
    "name-mismatch",
  ),
  leafCase(
    "a common name is no server name",
    "name-mismatch",
    { subject: "CN=server.example", extensions: [] },
    {
      opensslDiffers:
        "RFC 9525 section 2 forbids the common name; the command line of openssl falls back to it",
    },
  ),
];

/** Root, an intermediate that permits O=Tests, an intermediate of this subject, a leaf of O=Tests. */
function constrainedMiddle(subject: string): PathInput {
  const first = middle({ extensions: [...CA, nameConstraints({ permitted: ["dir:O=Tests"] })] });
  const key = testKey("p256", "second");
  const second = certificate({ subject, key, issuer: first, extensions: CA });
  const end = leaf({ subject: "O=Tests/CN=leaf", issuer: second });
  return { chain: ders(end, second, first), anchors: ders(root) };
}

export const CONSTRAINT_CASES: PathCase[] = [
  constraintCase("a permitted name", "accepted", { permitted: ["dns:example"] }, []),
  constraintCase("a name that is not permitted", "name-constraint", {
    permitted: ["dns:other.example"],
  }, []),
  constraintCase("an excluded name", "name-constraint", { excluded: ["dns:Server.Example"] }, []),
  constraintCase(
    "a name that ends alike",
    "name-constraint",
    { permitted: ["dns:erver.example"] },
    [],
  ),
  constraintCase("exclusion wins", "name-constraint", {
    permitted: ["dns:example"],
    excluded: ["dns:bad.example"],
  }, ["dns:very.bad.example"]),
  constraintCase(
    "a wildcard that covers an excluded name",
    "name-constraint",
    { excluded: ["dns:secret.example.com"] },
    ["dns:*.example.com"],
    "CN=leaf",
    "openssl compares the star as a letter, so the wildcard gets around the exclusion",
  ),
  constraintCase(
    "a form that is not constrained",
    "accepted",
    { permitted: ["email:a.example"] },
    [],
  ),
  constraintCase("a permitted address range", "accepted", {
    permitted: ["ip:10.0.0.0/255.0.0.0"],
  }, ["ip:10.1.2.3"]),
  constraintCase("an address outside of its range", "name-constraint", {
    permitted: ["ip:10.0.0.0/255.0.0.0"],
  }, ["ip:11.1.2.3"]),
  constraintCase("an IPv6 address under a range of IPv4", "name-constraint", {
    permitted: ["ip:10.0.0.0/255.0.0.0"],
  }, ["ip6:00000000000000000000000000000001"]),
  constraintCase("all addresses excluded", "name-constraint", {
    excluded: ["ip:0.0.0.0/0.0.0.0"],
  }, ["ip:127.0.0.1"]),
  constraintCase("a mailbox", "accepted", { permitted: ["email:root@a.example"] }, [
    "email:root@A.example",
  ]),
  constraintCase("another mailbox", "name-constraint", { permitted: ["email:root@a.example"] }, [
    "email:toor@a.example",
  ]),
  constraintCase("a mail host", "accepted", { permitted: ["email:a.example"] }, [
    "email:x@a.example",
  ]),
  constraintCase("a host below a mail host", "name-constraint", {
    permitted: ["email:a.example"],
  }, ["email:x@b.a.example"]),
  constraintCase("a host below a mail domain", "accepted", { permitted: ["email:.a.example"] }, [
    "email:x@b.a.example",
  ]),
  constraintCase(
    "a mail host that begins with a period",
    "name-constraint",
    { permitted: ["email:.a.example"] },
    ["email:x@.a.example"],
    "CN=leaf",
    "the constraint 'MAY be expanded with one or more labels', of which openssl takes none for one",
  ),
  constraintCase("a constraint with a minimum", "name-constraint", {
    permitted: ["dns:example min=1"],
  }, []),
  {
    title: "name constraints: an intermediate outside, its leaf inside",
    expected: "name-constraint",
    make: () => constrainedMiddle("O=Others/CN=Second"),
  },
  {
    title: "name constraints: they do not apply to a self-issued intermediate",
    expected: "accepted",
    make: () => constrainedMiddle("CN=Middle"),
  },
  constraintCase(
    "an address in the subject",
    "name-constraint",
    { permitted: ["email:a.example"] },
    [],
    "CN=leaf/E=x@b.example",
  ),
  constraintCase("a URI's host", "accepted", { permitted: ["uri:.a.example"] }, [
    "uri:https://b.a.example:443/x",
  ]),
  constraintCase("a URI of another host", "name-constraint", { permitted: ["uri:a.example"] }, [
    "uri:https://b.a.example/",
  ]),
  constraintCase("a URI without a host", "name-constraint", { excluded: ["uri:a.example"] }, [
    "uri:urn:x:y",
  ]),
  constraintCase(
    "a subject below a permitted directory name",
    "accepted",
    { permitted: ["dir:O=Tests"] },
    [],
    "O=tests/CN=leaf",
  ),
  constraintCase(
    "a subject beside a permitted directory name",
    "name-constraint",
    { permitted: ["dir:O=Tests"] },
    [],
    "O=Others/CN=leaf",
  ),
  constraintCase("a form that cannot be checked", "name-constraint", { excluded: ["other:x"] }, [
    "other:y",
  ]),
  constraintCase("a form that cannot be checked and does not appear", "accepted", {
    excluded: ["other:x"],
  }, []),
  {
    title: "name constraints of the trust anchor",
    expected: "name-constraint",
    make: () => {
      const top = rootAuthority({
        key: rootKey,
        extensions: [...CA, nameConstraints({ permitted: ["dns:other.example"] })],
      });
      return { chain: ders(leaf({ issuer: top })), anchors: ders(top) };
    },
  },
];
