"""All pairs of values of several settings in few cases: most faults show where two features meet, few need three."""

import itertools


def all_pairs(**factors):
    """Dicts with one value of each factor, such that each pair of values of two factors is in one of them."""
    names = list(factors)
    choices = {name: list(range(len(factors[name]))) for name in names}
    missing = {((a, i), (b, j)) for a, b in itertools.combinations(names, 2) for i in choices[a] for j in choices[b]}
    cases = []
    while missing:
        case = dict(min(missing))
        for name in sorted(names, key=lambda name: -len(choices[name])):  # the many-valued first: they have most pairs
            if name not in case:
                case[name] = max(choices[name], key=lambda i: (len(pairs_of({**case, name: i}, names) & missing), -i))
        missing -= pairs_of(case, names)
        cases.append({name: factors[name][case[name]] for name in names})
    return cases


def pairs_of(case, names):
    chosen = [(name, case[name]) for name in names if name in case]
    return set(itertools.combinations(chosen, 2))
