// The keys that topK selects by, made from x as it is read.
// @uses lib/order.wgsl
// @uses lib/selection.wgsl

override VECTOR: bool = false;   // rows are contiguous and start at multiples of 4 elements; no mask, no earlier block

@group(0) @binding(1) var<storage, read> x: array<u32>;         // bits of f32
@group(0) @binding(2) var<storage, read> x4: array<vec4u>;      // the same window
@group(0) @binding(3) var<storage, read> mask: array<u32>;

/// Larger is better; NaN is 1, below every number; 0 is left for "not a candidate".
fn selectionKey(bits: u32) -> u32 {
  let key = orderKey(bits);
  return select(select(~key, key, params.largest == 1u), 1u, key == 0xffffffffu);
}

/// Four keys at once.
fn selectionKeys(bits: vec4u) -> vec4u {
  let keys = orderKey4(bits);
  return select(select(~keys, keys, params.largest == 1u), vec4u(1u), keys == vec4u(0xffffffffu));
}

/// Where an entry lies in the bound window.
fn placeOf(row: u32, index: u32) -> u32 {
  return params.origin + row / params.width * (params.length * params.inner) + row % params.width
       + (index - params.first) * params.inner;
}

/// The key of an entry of the bound window, 0 if it cannot be selected.
fn keyAt(row: u32, index: u32) -> u32 {
  if (params.maskInner != 0u) {
    let column = select(row % params.width, 0u, params.maskInner != params.inner);
    let place = (row / params.width * params.length + index - params.first) * params.maskInner + column;
    if (mask[params.maskOrigin + place] == 0u) { return 0u; }
  }
  let key = selectionKey(x[placeOf(row, index)]);
  if (params.after != 0u) {
    let last = row * STATE;
    if (!comesBefore(state[last + LAST_KEY], state[last + LAST_INDEX], key, index)) { return 0u; }
  }
  return key;
}
