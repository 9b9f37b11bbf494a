/* SPDX-License-Identifier: MIT */
#include "event/work.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
/* cmocka.h wants the above first */
#include <cmocka.h>

/* The pool of threads: bounded, each job done once on the loop it came from. */
struct job {
    struct sg_work work;
    uv_thread_t ran_on;
    int runs, dones;
};

static uv_sem_t gate;

static void
run(struct sg_work *work)
{
    struct job *j = sg_container_of(work, struct job, work);

    uv_sem_wait(&gate);
    j->runs++;
    j->ran_on = uv_thread_self();
}

static void
done(struct sg_work *work)
{
    sg_container_of(work, struct job, work)->dones++;
}

static void
jobs_wait_up_to_the_bound_and_each_is_done_once_on_its_loop(void **state)
{
    struct sg_work_pool *pool;
    struct sg_work_end *ends[2];
    struct job jobs[12] = {0};
    uv_thread_t self = uv_thread_self();
    uv_loop_t loops[2];
    struct sg_err err;
    int i, taken = 0, all;

    (void)state;
    uv_sem_init(&gate, 0);
    assert_int_equal(sg_work_pool_new(2, 4, &pool, &err), 0);
    for (i = 0; i < 2; i++) {
        uv_loop_init(&loops[i]);
        assert_int_equal(sg_work_open(pool, &loops[i], &ends[i], &err), 0);
    }
    for (i = 0; i < 12; i++) {
        jobs[i].work.run = run;
        jobs[i].work.done = done;
        if (sg_work_submit(ends[i % 2], &jobs[i].work, &err) == 0)
            taken++;
        else
            assert_int_equal(err.code, SG_E_LIMIT);
        usleep(i < 3 ? 20000 : 0); /* so that both threads have one before the others wait */
    }
    assert_int_equal(taken, 6);
    for (i = 0; i < taken; i++)
        uv_sem_post(&gate);
    do {
        for (all = 0, i = 0; i < 12; i++)
            all += jobs[i].dones;
        uv_run(&loops[0], UV_RUN_NOWAIT);
        uv_run(&loops[1], UV_RUN_NOWAIT);
    } while (all < taken);
    for (i = 0; i < 12; i++) {
        assert_int_equal(jobs[i].runs, jobs[i].dones);
        assert_in_range(jobs[i].dones, 0, 1);
        assert_false(jobs[i].dones == 1 && uv_thread_equal(&jobs[i].ran_on, &self));
    }
    for (i = 0; i < 2; i++) {
        sg_work_close(ends[i], NULL, NULL);
        uv_run(&loops[i], UV_RUN_DEFAULT);
        assert_int_equal(uv_loop_close(&loops[i]), 0);
    }
    sg_work_pool_free(pool);
    uv_sem_destroy(&gate);
}

static void
a_pool_without_work_ends(void **state)
{
    struct sg_work_pool *pool;

    (void)state;
    assert_int_equal(sg_work_pool_new(4, 1, &pool, NULL), 0);
    sg_work_pool_free(pool);
    assert_int_equal(sg_work_pool_new(0, 1, &pool, NULL), -1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_wait_up_to_the_bound_and_each_is_done_once_on_its_loop),
        cmocka_unit_test(a_pool_without_work_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
