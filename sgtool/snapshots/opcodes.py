"""Opcodes of a pickle: what each does to the machine that interprets it (`unpickler.Machine`), protocols 0 to 5.

The opcodes and their meaning: Python's pickletools. Those that only old or strange programs need are refused by name.
"""

from sgtool.snapshots.inert import Maker, check_attributes, kind_of, shown
from sgtool.snapshots.literals import LITERALS, LONGEST_NAME, digits
from sgtool.snapshots.spans import Refused, damaged


def _unknown(code):
    def refuse(m):
        raise damaged(f"it has a byte ({code:#04x}) that means nothing in a pickle")

    return refuse


def _unneeded(name):
    def refuse(m):
        raise Refused(f"uses the opcode {name}, which no model needs, and is not opened: it could run code.")

    return refuse


def _out_of_band(m):
    raise Refused("keeps its numbers outside of the file (pickle buffers). Save it again without buffer_callback.")


def _proto(m):
    version = m.stream.number("<B", 1)
    if version > 5:
        raise damaged(f"it is a pickle of protocol {version}, and there are 0 to 5")


def _frame(m):
    m.stream.number("<Q", 8)  # its length, which only helps those who read from a slow line


def _mark(m):
    m.below.append(m.stack)
    m.stack = []


def _pop(m):
    if m.stack:
        m.stack.pop()
    else:
        m.pop_mark()


def _pop_to_mark(m):
    m.pop_mark()


def _dup(m):
    m.stack.append(m.stack[-1])


# containers


def _empty_set(m):
    m.budget.spend(3)
    m.stack.append(set())


def _tuple1(m):
    m.stack[-1] = (m.stack[-1],)


def _tuple2(m):
    last = m.stack.pop()
    m.stack[-1] = (m.stack[-1], last)


def _tuple3(m):
    last, middle = m.stack.pop(), m.stack.pop()
    m.stack[-1] = (m.stack[-1], middle, last)


def _tuple(m):
    values = m.pop_mark()
    m.stack.append(tuple(values))


def _list(m):
    values = m.pop_mark()
    m.stack.append(values)


def _dict(m):
    values = m.pop_mark()
    m.stack.append({})
    _set_items(m, values)


def _frozenset(m):
    values = m.pop_mark()
    m.budget.spend(3)
    m.stack.append(frozenset(map(m.key, values)))


def _append(m):
    value = m.stack.pop()
    _top(m, list, "to append to").append(value)


def _appends(m):
    values = m.pop_mark()
    _top(m, list, "to append to").extend(values)


def _set_item(m):
    value, key = m.stack.pop(), m.stack.pop()
    _set_items(m, [key, value])


def _items_to_mark(m):
    _set_items(m, m.pop_mark())


def _add_items(m):
    values = m.pop_mark()
    _top(m, set, "to add to").update(map(m.key, values))


def _set_items(m, values):
    target = _top(m, dict, "to set items of")
    if len(values) % 2:
        raise damaged("it has a key without a value")
    for i in range(0, len(values), 2):
        key = values[i]
        target[key if type(key) is str else m.key(key)] = values[i + 1]


def _top(m, kind, what):
    value = m.stack[-1]
    if type(value) is not kind:
        raise Refused(f"asks {what} {kind_of(value)}, which no model does, and is not opened: it could run code.")
    return value


# the memo


def _memoize(m):
    m.put(len(m.memo))


def _binput(m):
    m.put(m.stream.number("<B", 1))


def _long_binput(m):
    m.put(m.stream.number("<I", 4))


def _put(m):
    m.put(digits(m.stream.line(LONGEST_NAME)))


def _binget(m):
    m.get(m.stream.number("<B", 1))


def _long_binget(m):
    m.get(m.stream.number("<I", 4))


def _get(m):
    m.get(digits(m.stream.line(LONGEST_NAME)))


# names, and what is made of them


def _global(m):
    module, name = m.stream.line(LONGEST_NAME), m.stream.line(LONGEST_NAME)
    m.find(m.text(module), m.text(name))


def _stack_global(m):
    name, module = m.stack.pop(), m.stack.pop()
    m.find(module, name)


def _inst(m):
    names = [shown(m.text(m.stream.line(LONGEST_NAME))) for _ in range(2)]
    _unneeded(f"INST for {'.'.join(names)}")(m)


def _reduce(m):
    arguments = m.stack.pop()
    m.stack[-1] = _made(m, m.stack[-1], arguments)


def _new(m):
    arguments = m.stack.pop()
    m.stack[-1] = _made(m, m.stack[-1], arguments)


def _new_with_keywords(m):
    keywords, arguments = m.stack.pop(), m.stack.pop()
    if keywords != {}:
        raise Refused(f"asks to make {kind_of(m.stack[-1])} with keywords, which no model does, and is not opened.")
    m.stack[-1] = _made(m, m.stack[-1], arguments)


def _made(m, maker, arguments):
    if type(maker) is not Maker:
        raise Refused(f"asks to call {kind_of(maker)}, which no model does, and is not opened: it could run code.")
    if type(arguments) is not tuple:
        raise damaged(f"it gives {maker.name} no list of values")
    m.budget.spend(4)
    return maker.call(m, arguments)


def _build(m):
    state = m.stack.pop()
    value = m.stack[-1]
    if type(value) is dict:
        check_attributes(m, "a dict", state)
        return  # of an OrderedDict, such as the versions of layers in a state dict; they do not matter
    if not hasattr(type(value), "built"):
        raise Refused(f"asks to change {kind_of(value)}, which no model does, and is not opened: it could run code.")
    m.stack[-1] = built = value.built(m, state)
    if built is not value:
        m.budget.spend_tensor(built)
        for place in value.places:
            m.memo[place] = built


def _binpersid(m):
    m.stack[-1] = _outside(m, m.stack[-1])


def _persid(m):
    m.stack.append(_outside(m, m.text(m.stream.line(LONGEST_NAME))))


def _outside(m, name):
    if m.persistent is None:
        raise Refused("refers to parts outside of the file (a persistent id), which it alone cannot give.")
    return m.persistent(name)


def _empty_dict(m):
    m.stack.append({})


def _empty_list(m):
    m.stack.append([])


OPCODES = {
    0x28: _mark,  # MARK
    0x30: _pop,  # POP
    0x31: _pop_to_mark,  # POP_MARK
    0x32: _dup,  # DUP
    0x50: _persid,  # PERSID
    0x51: _binpersid,  # BINPERSID
    0x52: _reduce,  # REDUCE
    0x5D: _empty_list,  # EMPTY_LIST
    0x61: _append,  # APPEND
    0x62: _build,  # BUILD
    0x63: _global,  # GLOBAL
    0x64: _dict,  # DICT
    0x65: _appends,  # APPENDS
    0x67: _get,  # GET
    0x68: _binget,  # BINGET
    0x69: _inst,  # INST
    0x6A: _long_binget,  # LONG_BINGET
    0x6C: _list,  # LIST
    0x6F: _unneeded("OBJ"),  # OBJ
    0x70: _put,  # PUT
    0x71: _binput,  # BINPUT
    0x72: _long_binput,  # LONG_BINPUT
    0x73: _set_item,  # SETITEM
    0x74: _tuple,  # TUPLE
    0x75: _items_to_mark,  # SETITEMS
    0x7D: _empty_dict,  # EMPTY_DICT
    0x80: _proto,  # PROTO
    0x81: _new,  # NEWOBJ
    0x82: _unneeded("EXT1"),  # EXT1
    0x83: _unneeded("EXT2"),  # EXT2
    0x84: _unneeded("EXT4"),  # EXT4
    0x85: _tuple1,  # TUPLE1
    0x86: _tuple2,  # TUPLE2
    0x87: _tuple3,  # TUPLE3
    0x8F: _empty_set,  # EMPTY_SET
    0x90: _add_items,  # ADDITEMS
    0x91: _frozenset,  # FROZENSET
    0x92: _new_with_keywords,  # NEWOBJ_EX
    0x93: _stack_global,  # STACK_GLOBAL
    0x94: _memoize,  # MEMOIZE
    0x95: _frame,  # FRAME
    0x97: _out_of_band,  # NEXT_BUFFER
    0x98: _out_of_band,  # READONLY_BUFFER
}
HANDLERS = [(LITERALS | OPCODES).get(code) or _unknown(code) for code in range(256)]
