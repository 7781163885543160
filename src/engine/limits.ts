// The engine's bounds: each with its unit and the reason for its default.
// Invariant: whatever a client can make grow has a row here.

export interface Limits {
  /** Bytes of one message; longer ones end the connection. */
  readonly messageBytes: number
  /** Components (retain, insert, delete) of one op. */
  readonly opComponents: number
  /** UTF-16 units of a whole document. */
  readonly documentLength: number
  /** Bytes of one presence state. */
  readonly presenceBytes: number
  /** Bytes of one signal's payload. */
  readonly signalBytes: number
  /** Signals that one connection may send in a second, or at once; of a longer one each KiB begun counts. */
  readonly signalsPerSecond: number
  /** People of a document whom everybody sees one by one; of more than that the active ones are seen, and their number. */
  readonly peersShown: number
  /** Milliseconds for which somebody who is seen keeps the place in a full room without doing anything. */
  readonly peerActive: number
  /** Documents that one connection may have joined at a time. */
  readonly documentsPerConnection: number
  /** People who may write in a document through one node at a time; whoever comes later reads until there is room. */
  readonly writersPerDocument: number
  /** Milliseconds for which somebody who does not write keeps the place among them, where another wants it. */
  readonly writerActive: number
  /** Milliseconds by which, on a node without time left, each writer of a document lengthens the pause of all between two edits. */
  readonly writerPace: number
  /** Submissions of one author in one document that wait for the log. */
  readonly submissionsWaiting: number
  /** Components of an op times commits since its base; above that the commits are composed before it is carried over them. */
  readonly rebaseWork: number
  /** Commits that a document keeps behind its head; a client further behind gets the snapshot. */
  readonly recentCommits: number
  /** Milliseconds for which every commit is kept, however many come in that time, */
  readonly recentTime: number
  /** up to so many commits. */
  readonly recentMost: number
  /** Commits that a client coming back may lack and still get one by one; more are composed. */
  readonly catchUpCommits: number
  /** Milliseconds for which a slow reader may lack more than those and still get them one by one, before it has to join again. */
  readonly catchUpTime: number
  /** Components of all commits that one client lacks, or one op is carried over in one step: with more it gets the snapshot. */
  readonly catchUpWork: number
  /** Commits after which a document is checkpointed, */
  readonly checkpointCommits: number
  /** or bytes of log entries, whichever comes first. */
  readonly checkpointBytes: number
  /** Milliseconds for which an author who is silent can still learn whether its last edit is in (R7). */
  readonly authorRetention: number
  /** Milliseconds after which a document nobody has joined leaves memory. */
  readonly idleDocument: number
  /** Milliseconds for which commits are gathered into one frame while the process is busy; longer only where writing a frame takes long. */
  readonly frameTick: number
  /** The same for those who may not write: as many times longer as this is longer than `frameTick`. */
  readonly onlookerTick: number
  /** Milliseconds for which presence news are gathered into one frame; that much longer for each hundred readers on this node. */
  readonly presenceTick: number
  /** Milliseconds after which authors are told that their edits are durable, if no commits have carried the news. */
  readonly durableTick: number
  /** Milliseconds between position beats in a document that somebody has joined. */
  readonly beat: number
  /** Milliseconds without an answer after which a call to the store counts as lost. */
  readonly storeTimeout: number
}

export const defaultLimits: Limits = {
  messageBytes: 1_048_576, // a pasted book chapter passes; larger pastes are split by the client
  opComponents: 65_536, // more than a reformatting of a large source file
  documentLength: 16_777_216, // 32 MiB of UTF-16: beyond what editors handle well
  presenceBytes: 4_096, // a cursor, some selections, what an application adds; everybody gets it
  signalBytes: 16_384, // what a page needs to say, the offer of a video call included; not a file
  signalsPerSecond: 50, // a burst of a call's candidates passes; every signal goes to everybody
  peersShown: 100, // as many carets as anybody can look at
  peerActive: 10_000, // a thought; shorter, and carets would come and go in a room where everybody types
  documentsPerConnection: 64, // a wiki's page with everything it shows
  writersPerDocument: 2_000, // twice what was asked of one core, each with all the others' keys to take in (`npm run bench -- scale --case hot`)
  writerActive: 30_000, // a sentence to think about; shorter, and places would come and go under the hands of who writes
  writerPace: 1, // a thousand writers then send one edit a second each, with all that they have typed in it
  submissionsWaiting: 16, // a client keeps one in flight; resends may double it
  rebaseWork: 250_000, // some milliseconds: far above any typing, far below what would hold up the others
  recentCommits: 1_000, // a minute or two of a busy document
  recentTime: 10_000, // where a thousand type, a thousand commits are gone before a slow line has brought them
  recentMost: 20_000, // some megabytes, in a document of thousands of writers only
  catchUpCommits: 200, // a few seconds of a busy document: beyond that nobody watches who wrote what
  catchUpTime: 5_000, // a machine that paused: then all are behind in one moment, and a thousand joins would be the next pause
  catchUpWork: 100_000, // some milliseconds
  checkpointCommits: 1_000, // opening a document reads no more entries than that
  checkpointBytes: 1_048_576, // or much more text
  authorRetention: 2_592_000_000, // thirty days: a long holiday
  idleDocument: 60_000, // a page that is loaded again finds it there
  frameTick: 50, // typing still feels immediate
  onlookerTick: 250, // who does not type sees no difference, and costs a fifth
  presenceTick: 40, // 25 frames a second: carets move smoothly
  durableTick: 40, // nobody sees a check mark come sooner
  beat: 10_000, // how long a lost last frame may go unnoticed
  storeTimeout: 5_000, // a store that is slower serves nobody who types
}
