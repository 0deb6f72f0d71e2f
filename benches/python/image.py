"""mpire's first public workload; `src/rivals/work/image.rs` has the same one. Needs numpy.

Theirs uses scipy's `convolve2d`. This one goes through the image in bands that fit into the cache, which is the fastest
that numpy alone does.
"""

import durations

SIDE = 5_000
FILTER = 4
STRIDE = 5
BAND = 40


def image():
    import numpy

    return numpy.zeros((SIDE, SIDE))


def filters(count):
    import numpy

    numbers = [1e3 * number for number in durations.skewed(count * FILTER * FILTER)]
    return list(numpy.array(numbers).reshape((count, FILTER, FILTER)))


def convolve(picture, small):
    """The whole convolution, of which every fifth point in every fifth line is returned."""
    import numpy

    side = SIDE + FILTER - 1
    kept = []
    band = numpy.empty((BAND, side))
    part = numpy.empty((BAND, SIDE))
    for top in range(0, side, BAND):
        height = min(BAND, side - top)
        band[:] = 0.0
        for dy in range(FILTER):
            # Lines of the band whose source is in the image.
            first, end = max(top - dy, 0), min(top - dy + height, SIDE)
            if first >= end:
                continue
            lines = slice(first + dy - top, end + dy - top)
            for dx in range(FILTER):
                numpy.multiply(picture[first:end], small[dy, dx], out=part[: end - first])
                band[lines, dx : dx + SIDE] += part[: end - first]
        kept.append(band[:height:STRIDE, ::STRIDE].copy())
    return numpy.concatenate(kept)
