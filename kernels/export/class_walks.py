"""Where the tokens of a vocabulary lead inside of one lexeme, and where that lexeme can end."""

from __future__ import annotations

from grammar_engine.kernels.arena import kernel

# Of lexer states.
ALIVE, MATCHES, LISTED = 1, 2, 4
# The number of tokens of a node stands above its byte and depth, see compiler.token_trie.
_DEPTH, _TOKENS = 8, 20


@kernel(
    "int64(int32[::1], int32[::1], int32[::1], int32[::1], int32[:, ::1], uint8[::1], int64, int32[::1],"
    " int32[::1], int32[::1], int32[::1], int32[::1], int32[::1], int32[::1])",
    entry=True,
)
def lexeme_walk(
    info, end, first, token_ids, steps, kinds, state, nodes, path, tokens, targets, exits, exit_states, counts
):
    """Read all tokens on from where they have got to a lexer state; 0, or minus 1 minus a state whose row is not known.

    info, end, first, token_ids: the trie (compiler.token_trie). steps: int32 (N, 256), state and byte to state, -1 for
    none. kinds: of states, ALIVE | MATCHES | LISTED (its row of steps is known). nodes: those of the trie that the
    state stands at, none of them below another's root path twice. path: room for 4096 states. tokens, targets: room for
    all tokens; exits, exit_states: for all nodes.

    A token that ends inside the lexeme is listed with the state then; so is one that ends where the walk begins. A node
    behind which the lexeme may have ended is listed with the state that says as what. counts: how many of both.
    """
    num_tokens = 0
    num_exits = 0
    for start in nodes:
        for k in range(first[start], first[start] + (info[start] >> _TOKENS)):
            tokens[num_tokens] = token_ids[k]
            targets[num_tokens] = state
            num_tokens += 1
        path[(info[start] >> _DEPTH) & 0xFFF] = state
        if kinds[state] & LISTED == 0:
            return -1 - state
        node = start + 1
        while node < end[start]:
            depth = (info[node] >> _DEPTH) & 0xFFF
            before = path[depth - 1]
            if kinds[before] & LISTED == 0:
                return -1 - before
            after = steps[before, info[node] & 0xFF]
            if after < 0:
                node = end[node]
                continue
            kind = kinds[after]
            if kind & MATCHES:
                exits[num_exits] = node
                exit_states[num_exits] = after
                num_exits += 1
            if kind & ALIVE == 0:
                node = end[node]
                continue
            path[depth] = after
            for k in range(first[node], first[node] + (info[node] >> _TOKENS)):
                tokens[num_tokens] = token_ids[k]
                targets[num_tokens] = after
                num_tokens += 1
            node += 1
    counts[0] = num_tokens
    counts[1] = num_exits
    return 0
