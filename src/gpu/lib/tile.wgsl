// Sums over a workgroup of 256 invocations, for kernels with shared memory.

const TILE: u32 = 256u;           // invocations per workgroup

var<workgroup> tileSums: array<vec2u, TILE>;
var<workgroup> tileFlag: u32;

/// Two sums at a time: over the invocations before this one (x, y), and over all (z, w). After step d every place holds
/// the sum of the 2d invocations up to its own (Hillis and Steele).
fn scanTile(local: u32, mine: vec2u) -> vec4u {
  tileSums[local] = mine;
  workgroupBarrier();
  for (var d = 1u; d < TILE; d *= 2u) {
    var sum = tileSums[local];
    if (local >= d) { sum += tileSums[local - d]; }
    workgroupBarrier();   // all have read
    tileSums[local] = sum;
    workgroupBarrier();   // all have written
  }
  let upToMine = tileSums[local];
  let total = tileSums[TILE - 1u];
  workgroupBarrier();     // all have read before anyone scans again
  return vec4u(upToMine - mine, total);
}

/// What invocation 0 says, for all of the workgroup: a compiler then knows that all of them branch alike.
fn tileSays(local: u32, yes: bool) -> bool {
  if (local == 0u) { tileFlag = select(0u, 1u, yes); }
  return workgroupUniformLoad(&tileFlag) != 0u;
}
