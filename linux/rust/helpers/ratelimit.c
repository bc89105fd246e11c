// SPDX-License-Identifier: GPL-2.0

#include <linux/ratelimit.h>

__rust_helper void rust_helper_ratelimit_default_init(struct ratelimit_state *rs)
{
	ratelimit_default_init(rs);
}

__rust_helper void rust_helper_ratelimit_set_flags(struct ratelimit_state *rs,
						   unsigned long flags)
{
	ratelimit_set_flags(rs, flags);
}

__rust_helper int rust_helper_ratelimit_state_reset_miss(struct ratelimit_state *rs)
{
	return ratelimit_state_reset_miss(rs);
}
