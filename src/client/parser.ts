// The parser with which an application's own socket.io-client speaks to its namespaces on an Inkwell server.
// Invariant: it keeps nothing of a connection, so one serves all.

import { clientParser, type Parser } from '../protocol/parser.ts'

/** `io('https://app.example.com/chat', { parser, transports: ['websocket'] })` of socket.io-client. */
export const parser: Parser = /* @__PURE__ */ clientParser()
