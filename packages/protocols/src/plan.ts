import { type FieldDescriptor, messageDescriptor, type ScalarType } from "./descriptor.ts";

/** A decoded message before its type is known. */
export type Tree = Record<string, unknown>;

/** How one value is read and written. */
export const Op = {
  STRING: 0,
  BYTES: 1,
  BOOL: 2,
  INT32: 3,
  UINT32: 4,
  INT64: 5,
  UINT64: 6,
  MESSAGE: 7,
} as const;
export type Op = (typeof Op)[keyof typeof Op];

/** How often a field's value occurs. */
export const Shape = { ONE: 0, REPEATED: 1, PACKED: 2, MAP: 3 } as const;
export type Shape = (typeof Shape)[keyof typeof Shape];

/** A field, ready for the codec. */
export interface Slot {
  readonly name: string;
  /** `Message.field`, for error texts. */
  readonly path: string;
  readonly op: Op;
  /** How values lie in the tree and, for writing, on the wire. */
  readonly shape: Shape;
  /** The tag it is written with: number and wire type. */
  readonly tag: number;
  /** Absent is told from zero, so zero is written. */
  readonly explicit: boolean;
  /** Of a message-typed field or map. */
  readonly type: string;
}

/** A message's tables. Made on first use of the type, so that a daemon pays for what it speaks only. */
export interface Plan {
  readonly name: string;
  /** In number order. */
  readonly slots: readonly Slot[];
  /** Slots by tag as read; dense, as almost all tags are below 128. */
  readonly byTag: readonly (Slot | undefined)[];
  /** Slots by tags too large for the dense table. */
  readonly byLargeTag: ReadonlyMap<number, Slot>;
  /** A message in which nothing is set, but for arrays and maps. */
  readonly template: Readonly<Tree>;
  readonly arrays: readonly string[];
  readonly maps: readonly string[];
}

const MAX_DENSE_TAG = 512;

const OPS: Readonly<Record<ScalarType, Op>> = {
  string: Op.STRING,
  bytes: Op.BYTES,
  bool: Op.BOOL,
  int32: Op.INT32,
  uint32: Op.UINT32,
  int64: Op.INT64,
  uint64: Op.UINT64,
};

/** Shared by all absent bytes fields; its length is 0, so nobody can write into it. */
const EMPTY_BYTES: Uint8Array = Buffer.alloc(0);

const DEFAULTS: Readonly<Record<Op, unknown>> = {
  [Op.STRING]: "",
  [Op.BYTES]: EMPTY_BYTES,
  [Op.BOOL]: false,
  [Op.INT32]: 0,
  [Op.UINT32]: 0,
  [Op.INT64]: 0n,
  [Op.UINT64]: 0n,
  [Op.MESSAGE]: null,
};

/** The value of an absent field. */
export function defaultOf(op: Op): unknown {
  return DEFAULTS[op];
}

const plans = new Map<string, Plan>();

/** The tables of a message type. Throws EncodeError for a name that is none. */
export function planOf(typeName: string): Plan {
  const cached = plans.get(typeName);
  if (cached !== undefined) return cached;
  const made = makePlan(typeName);
  plans.set(typeName, made);
  return made;
}

function makePlan(typeName: string): Plan {
  const { fields } = messageDescriptor(typeName);
  const slots = fields.map((f) => makeSlot(typeName, f));
  const byTag: (Slot | undefined)[] = [];
  const byLargeTag = new Map<number, Slot>();
  const template: Tree = {};
  for (const slot of slots) {
    template[slot.name] = slot.shape === Shape.ONE && !slot.explicit ? defaultOf(slot.op) : null;
    for (const tag of readTags(slot)) {
      if (tag < MAX_DENSE_TAG) {
        while (byTag.length <= tag) byTag.push(undefined);
        byTag[tag] = slot;
      } else byLargeTag.set(tag, slot);
    }
  }
  const named = (keep: (s: Slot) => boolean): string[] => slots.filter(keep).map((s) => s.name);
  return {
    name: typeName,
    slots,
    byTag,
    byLargeTag,
    template,
    arrays: named((s) => s.shape === Shape.REPEATED || s.shape === Shape.PACKED),
    maps: named((s) => s.shape === Shape.MAP),
  };
}

function makeSlot(typeName: string, field: FieldDescriptor): Slot {
  const op = opOf(field);
  const shape = shapeOf(field, op);
  const wire = shape === Shape.ONE || shape === Shape.REPEATED ? wireType(op) : 2;
  return {
    name: field.name,
    path: `${typeName}.${field.name}`,
    op,
    shape,
    tag: field.number * 8 + wire,
    explicit: field.optional,
    type: field.type,
  };
}

function opOf(field: FieldDescriptor): Op {
  if (field.valueKind === "message") return Op.MESSAGE;
  return field.valueKind === "enum" ? Op.INT32 : OPS[field.type as ScalarType];
}

function shapeOf(field: FieldDescriptor, op: Op): Shape {
  if (field.kind === "map") return Shape.MAP;
  if (!field.repeated) return Shape.ONE;
  return wireType(op) === 0 ? Shape.PACKED : Shape.REPEATED;
}

/** Numbers that are packed when written may come either way, and both ways in one message. */
function readTags(slot: Slot): number[] {
  return slot.shape === Shape.PACKED ? [slot.tag, slot.tag - 2] : [slot.tag];
}

/** 0: varint, 2: length-delimited. */
export function wireType(op: Op): 0 | 2 {
  return op === Op.STRING || op === Op.BYTES || op === Op.MESSAGE ? 2 : 0;
}

/** A message in which nothing is set. */
export function emptyMessage(plan: Plan): Tree {
  const message: Tree = { ...plan.template };
  for (const name of plan.arrays) message[name] = [];
  // No prototype: a key called `__proto__` or `constructor` is a key like any other.
  for (const name of plan.maps) message[name] = Object.create(null);
  return message;
}
