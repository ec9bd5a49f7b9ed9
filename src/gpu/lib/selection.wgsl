// What all kernels of a selection share: parameters, the state of each row, and the choice of a threshold by counting.
//
// A selection finds, in every row, the k entries that come first by (key descending, index ascending). It streams over
// the row once against a threshold guessed from a sample, collects the few entries that reach it, in order of index, and
// puts these in order; docs/topK.md has the whole story. The kernels that stream (sample, count, mark, collect) belong to
// an operator, since each makes its keys in its own way; they declare bindings 1 to 3 as they like. Bindings 4 and 5 are
// the same in all of them.
//
// Serial kernels give each invocation a row, or a chunk of one, to run over alone. Kernels named *Tiles give a chunk to a
// workgroup of 256 with shared memory.

override WORKGROUP: u32 = 8u;     // invocations per workgroup of the serial kernels: one or two subgroups of a CPU

const BINS: u32 = 2048u;          // values of one digit of a key: bits 31..21, 20..10 and 9..0
const STATE: u32 = 16u;           // words of state per row
const COUNTS: u32 = 8u;           // where counts start in a row's digits, behind the guess
const ALL: u32 = 0xffffffffu;
const BY_INDEX: u32 = 3u;         // the first level of a sort that orders by index

// The words of a row's state.
const THRESHOLD: u32 = 0u;        // entries with a larger key are all wanted,
const TIES: u32 = 1u;             // and so are this many entries that have this very key, by ascending index
const FOUND: u32 = 2u;            // how many entries that makes: candidates
const STATUS: u32 = 3u;           // what `decide` found: see below
const LAST_KEY: u32 = 4u;         // the last entry of the block of results before this one
const LAST_INDEX: u32 = 5u;
const LARGEST: u32 = 6u;          // the largest key among the candidates
const HELD: u32 = 7u;             // how many candidates there were before some were dropped
const PICKED: u32 = 8u;           // (prefix, rank) after one and after two digits

const READY: u32 = 1u;            // the candidates hold the k wanted entries and fit into their buffer
const RETRY: u32 = 2u;            // they do not: find the exact threshold and mark again

// What a threshold rests on.
const BY_SAMPLE: u32 = 0u;        // a guess
const BY_COUNTING: u32 = 1u;      // counts over the whole row, in rows that need it
const BY_COUNTING_ALL: u32 = 2u;  // the same, in all rows
const AMONG_CANDIDATES: u32 = 3u; // counts over the candidates

struct SelectParams {
  rows: u32,        // rows in this batch
  width: u32,       // rows that are neighbours: row = a * width + b
  length: u32,      // entries per row
  inner: u32,       // distance between neighbouring entries of a row
  k: u32,           // wanted per row, at least 1
  first: u32,       // the window of x that is bound: entries first .. first + count of every row of the batch;
  count: u32,
  origin: u32,      // where entry `first` of row 0 lies in it
  chunk: u32,       // entries per chunk
  chunks: u32,      // chunks per row; in serial kernels 1, or a multiple of WORKGROUP
  words: u32,       // words of marks per row
  capacity: u32,    // candidates that fit per row
  room: u32,        // distance between the candidates of two rows
  digitWords: u32,  // words of digits per row: the guess, and counts of three levels if they may be needed
  sampleSize: u32,  // keys in the sample of a row, a multiple of 8; 0: no guess, every entry is taken
  draws: u32,       // each is the largest of so many entries,
  stride: u32,      // one out of so many entries of the row
  rank: u32,        // the guess is about the rank-th largest key of the sample
  attempt: u32,     // what the threshold rests on
  level: u32,       // which digit, or which step of a sort
  parts: u32,       // parts per row that are sorted side by side: 1, or a multiple of WORKGROUP
  largest: u32,     // 1: the largest values; 0: the smallest
  after: u32,       // 1: only entries that come after (LAST_KEY, LAST_INDEX)
  maskInner: u32,   // 0: no mask; 1: it stops at the axis; inner: it has the shape of x
  maskOrigin: u32,  // where the mask of entry `first` of row 0 lies in its window
  slots: u32,       // result slots per row,
  slot: u32,        // of which this block of results starts here
  fill: u32,        // and fills so many
  outOrigin: u32,   // where slot 0 of row 0 lies in the output windows, modulo 2^32
  outLength: u32,   // elements in the output windows
  countOrigin: u32, // where row 0 lies in the window of counts
  distance: u32,    // of the entries that a step of a bitonic sort compares
  own: array<vec4u, 2>,   // for the operator
}

@group(0) @binding(0) var<uniform> params: SelectParams;
@group(0) @binding(4) var<storage, read_write> state: array<u32>;
@group(0) @binding(5) var<storage, read_write> digits: array<atomic<u32>>;   // [rows, digitWords]

/// The total order: larger keys first, then smaller indices.
fn comesBefore(key: u32, index: u32, otherKey: u32, otherIndex: u32) -> bool {
  return key > otherKey || (key == otherKey && index < otherIndex);
}

/// Does the row have to be marked again?
fn mustRetry(row: u32) -> bool { return state[row * STATE + STATUS] == RETRY; }

/// The digit of a key at a level.
fn digitOf(key: u32, level: u32) -> u32 {
  if (level == 0u) { return key >> 21u; }
  if (level == 1u) { return (key >> 10u) & 2047u; }
  return key & 1023u;
}

/// Does a key take part at a level: do its higher digits equal the prefix? Key 0 stands for "no entry".
fn hasPrefix(key: u32, prefix: u32, level: u32) -> bool {
  if (level == 0u) { return key != 0u; }
  return (key >> select(10u, 21u, level == 1u)) == (prefix >> select(10u, 21u, level == 1u));
}

/// Where the guess of a row lies.
fn guessPlace(row: u32) -> u32 { return row * params.digitWords; }

fn digitPlace(row: u32, level: u32) -> u32 { return row * params.digitWords + COUNTS + level * BINS; }

/// One more digit of the rank-th largest key, from the counts at a level: (prefix with that digit, rank within it).
/// Rank 0 means that there are fewer entries than were asked for, and the prefix is then the smallest key.
fn pickDigit(row: u32, level: u32, prefix: u32, rank: u32) -> vec2u {
  if (rank == 0u) { return vec2u(1u, 0u); }
  let place = digitPlace(row, level);
  var left = rank;
  for (var digit = select(BINS, 1024u, level == 2u); digit > 0u; digit--) {
    let here = atomicLoad(&digits[place + digit - 1u]);
    if (here >= left) {
      return vec2u(prefix | ((digit - 1u) << select(select(0u, 10u, level == 1u), 21u, level == 0u)), left);
    }
    left -= here;
  }
  return vec2u(1u, 0u);
}

/// (prefix, rank) before the digit of a level is picked: what was stored after the level before.
fn pickedBefore(row: u32, level: u32) -> vec2u {
  if (level == 0u) {
    if (params.attempt == AMONG_CANDIDATES) { return vec2u(0u, min(state[row * STATE + FOUND], params.k)); }
    return vec2u(0u, params.k);
  }
  let place = row * STATE + PICKED + (level - 1u) * 2u;
  return vec2u(state[place], state[place + 1u]);
}

/// (prefix, rank) with which a level counts; one invocation per row stores it for the level after.
fn pickBefore(row: u32, level: u32, stores: bool) -> vec2u {
  if (level == 0u) { return pickedBefore(row, 0u); }
  let before = pickedBefore(row, level - 1u);
  let picked = pickDigit(row, level - 1u, before.x, before.y);
  if (stores) {
    let place = row * STATE + PICKED + (level - 1u) * 2u;
    state[place] = picked.x;
    state[place + 1u] = picked.y;
  }
  return picked;
}

/// The threshold that the counts of all three levels give; 1 takes every entry.
fn countedThreshold(row: u32) -> u32 {
  let before = pickedBefore(row, 2u);
  return pickDigit(row, 2u, before.x, before.y).x;
}

/// The threshold to mark a row with; 1 takes every entry.
fn thresholdFor(row: u32) -> u32 {
  if (params.sampleSize == 0u) { return 1u; }
  if (params.attempt == BY_SAMPLE) { return max(atomicLoad(&digits[guessPlace(row)]), 1u); }
  // Short rows have no counts: where their guess failed, every entry is a candidate.
  if (params.digitWords <= COUNTS) { return 1u; }
  return countedThreshold(row);
}

struct Choice { status: u32, ties: u32, found: u32 }

/// Which entries are candidates, when so many are above the threshold (x) and so many at it (y): all above, and as many
/// ties as are wanted. If the threshold is the k-th key itself, that makes exactly k; otherwise all ties are taken.
fn settled(seen: vec2u, threshold: u32) -> Choice {
  var ties = ALL;
  var found = seen.x + seen.y;
  if (seen.x < params.k && params.k <= found) {
    ties = params.k - seen.x;
    found = params.k;
  }
  // Below threshold 1 there is nothing left to take.
  let tooFew = found < params.k && threshold > 1u && params.attempt == BY_SAMPLE;
  return Choice(select(READY, RETRY, tooFew || found > params.capacity), ties, found);
}

struct Lane { row: u32, chunk: u32, works: bool }

/// What an invocation of a serial kernel owns. With one chunk per row, neighbours own neighbouring rows; otherwise a
/// workgroup belongs to one row.
fn laneOf(group: u32, local: u32, chunks: u32) -> Lane {
  if (chunks == 1u) {
    let row = group * WORKGROUP + local;
    return Lane(row, 0u, row < params.rows);
  }
  let row = rowOfGroup(group, chunks);
  return Lane(row, group % (chunks / WORKGROUP) * WORKGROUP + local, row < params.rows);
}

/// The row of a workgroup when rows have many chunks. Kept apart from `laneOf`, so that a compiler sees that it is the
/// same for the whole workgroup: a CPU then loads once for all invocations.
fn rowOfGroup(group: u32, chunks: u32) -> u32 { return group / (chunks / WORKGROUP); }

/// The word of marks for 32 entries of a chunk.
fn wordOf(row: u32, chunk: u32, word: u32) -> u32 {
  return row * params.words + chunk * ((params.chunk + 31u) / 32u) + word;
}

fn inWindow(index: u32) -> bool { return index >= params.first && index - params.first < params.count; }

/// Scrambles a number, so that a sample does not keep step with the data (the finalizer of MurmurHash3).
fn scramble(n: u32) -> u32 {
  var h = n;
  h = (h ^ (h >> 16u)) * 0x85ebca6bu;
  h = (h ^ (h >> 13u)) * 0xc2b2ae35u;
  return h ^ (h >> 16u);
}

/// The position of an entry drawn for the sample: one out of every `stride`, which is below 2^16.
fn drawnPosition(draw: u32) -> u32 { return draw * params.stride + (((scramble(draw) >> 16u) * params.stride) >> 16u); }

/// Keys as signed numbers of the same order: most CPUs compare only these four or eight at a time.
fn signedKey(key: u32) -> i32 { return bitcast<i32>(key ^ 0x80000000u); }

/// Where a slot lies in the bound output windows. It wraps around for slots before them, and is too large then as well.
fn resultPlace(row: u32, slot: u32) -> u32 {
  return params.outOrigin + (row / params.width * params.slots + slot) * params.inner + row % params.width;
}

struct ResultAt { row: u32, slot: u32, works: bool }

/// The result that an invocation writes. Neighbours write neighbouring elements.
fn resultOf(group: u32, local: u32) -> ResultAt {
  if (params.width == 1u && params.fill >= WORKGROUP) {
    // No divisions but of what is the same for the whole workgroup.
    let perRow = (params.fill + WORKGROUP - 1u) / WORKGROUP;
    let slot = group % perRow * WORKGROUP + local;
    return ResultAt(group / perRow, slot, group / perRow < params.rows && slot < params.fill);
  }
  let id = group * WORKGROUP + local;
  let row = id / (params.width * params.fill) * params.width + id % params.width;
  return ResultAt(row, id / params.width % params.fill, row < params.rows);
}
