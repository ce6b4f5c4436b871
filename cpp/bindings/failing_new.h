// Allocations that fail on purpose, in builds with FASTMLP_FAIL_ALLOCATIONS.
#pragma once

namespace fastmlp {

void fail_allocation(long n);  // the n-th from now on, counted over all threads; 0: none
bool allocation_failed();      // whether that has happened since
long living_buffers();         // how many there are now

}  // namespace fastmlp
