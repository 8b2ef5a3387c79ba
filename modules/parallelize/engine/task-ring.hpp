// SPDX-License-Identifier: LGPL-2.1-or-later
// Tasks, and the ring that they wait in.
#pragma once

#include "line-marks.hpp"
#include "message.hpp"
#include "strand.hpp"

#include <algorithm>
#include <cstddef>
#include <memory>

namespace parallelize {

// What a runner takes at a time: a strand that has messages, or a single
// message that needs no order.
struct Task
{
  Strand *strand = nullptr;     // nullptr: `message`
  Message message = {};
};

// A growing ring of tasks.  Not locked: its owner says which lock guards it.
class TaskRing
{
public:
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  const Task &front()
  {
    PARALLELIZE_READS_LINE("task rings", &at(0));
    return at(0);
  }

  void push_back(const Task &task)
  {
    if (size_ == capacity_)
      grow();
    PARALLELIZE_WRITES_LINE("task rings", &at(size_));
    at(size_++) = task;
  }

  void push_front(const Task &task)
  {
    if (size_ == capacity_)
      grow();
    head_ = (head_ - 1) & (capacity_ - 1);
    size_++;
    PARALLELIZE_WRITES_LINE("task rings", &at(0));
    at(0) = task;
  }

  // After the oldest task.
  void push_second(const Task &task)
  {
    if (empty())
      return push_front(task);
    const Task first = pop_front();
    push_front(task);
    push_front(first);
  }

  Task pop_front()
  {
    PARALLELIZE_READS_LINE("task rings", &at(0));
    Task task = at(0);
    head_ = (head_ + 1) & (capacity_ - 1);
    size_--;
    return task;
  }

  // Move up to `count` of the oldest tasks to the end of `to`.
  void move_front(std::size_t count, TaskRing &to)
  {
    for (count = std::min(count, size_); count; count--)
      to.push_back(pop_front());
  }

private:
  Task &at(std::size_t index) { return tasks_[(head_ + index) & (capacity_ - 1)]; }

  void grow()
  {
    const std::size_t bigger = std::max<std::size_t>(64, capacity_ * 2);
    auto tasks = std::make_unique<Task[]>(bigger);
    for (std::size_t i = 0; i < size_; i++)
      tasks[i] = at(i);
    tasks_ = std::move(tasks);
    capacity_ = bigger;
    head_ = 0;
  }

  std::unique_ptr<Task[]> tasks_;
  std::size_t capacity_ = 0;    // zero or a power of two
  std::size_t head_ = 0;
  std::size_t size_ = 0;
};

}
